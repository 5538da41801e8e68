"""The scripts of the GitHub action: what they run and write, and the comment they keep, on a stand-in of the API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.github_stand_in import GitHub, github

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github/actions/evolve-lint"
MARKER = "<!-- evolve-lint: . -->"


@pytest.fixture
def api() -> Iterator[GitHub]:
    with github() as state:
        yield state


def comment(
    api: GitHub, folder: Path, body: str, *, event: dict[str, Any] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    (folder / "event.json").write_text(
        json.dumps({"pull_request": {"number": 7}} if event is None else event)
    )
    (folder / "body.md").write_text(body)
    return subprocess.run(
        [sys.executable, ACTION / "sticky_comment.py"],
        env={
            **os.environ,
            "GITHUB_API_URL": api.url,
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_EVENT_PATH": str(folder / "event.json"),
            "TOKEN": "secret",
            "BODY": str(folder / "body.md"),
            "WAIT": "0.001",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_second_run_replaces_the_comment_of_the_first(api: GitHub, tmp_path: Path) -> None:
    comment(api, tmp_path, "two findings")
    done = comment(api, tmp_path, "one finding")
    assert done.returncode == 0, done.stderr
    assert [each["body"] for each in api.comments] == [f"{MARKER}\none finding"]


def test_the_same_words_are_not_written_again(api: GitHub, tmp_path: Path) -> None:
    comment(api, tmp_path, "two findings\n")
    api.asked.clear()
    comment(api, tmp_path, "two findings\n")
    assert [line for line in api.asked if not line.startswith("GET")] == []


def test_a_comment_behind_the_first_page_is_found(api: GitHub, tmp_path: Path) -> None:
    for number in range(100):
        api.say("dana", f"remark {number}")
    api.say("github-actions[bot]", f"{MARKER}\nold")
    comment(api, tmp_path, "new")
    assert (len(api.comments), api.comments[-1]["body"]) == (101, f"{MARKER}\nnew")


def test_a_stranger_who_writes_our_marker_is_not_taken_for_us(api: GitHub, tmp_path: Path) -> None:
    """Whose comment it is can write into it afterwards that all is well."""
    api.say("mallory", f"{MARKER}\nnothing found")
    comment(api, tmp_path, "one finding")
    assert [each["user"]["login"] for each in api.comments] == ["mallory", "github-actions[bot]"]


def test_a_token_of_a_user_replaces_the_comment_of_that_user(api: GitHub, tmp_path: Path) -> None:
    api.me = "robo"
    comment(api, tmp_path, "one finding")
    comment(api, tmp_path, "no finding")
    assert [(each["user"]["login"], each["body"]) for each in api.comments] == [
        ("robo", f"{MARKER}\nno finding")
    ]


def test_two_projects_keep_two_comments(api: GitHub, tmp_path: Path) -> None:
    comment(api, tmp_path, "of one", KEY="backend")
    comment(api, tmp_path, "of the other", KEY="billing")
    comment(api, tmp_path, "of one again", KEY="backend")
    assert [each["body"].partition("\n")[2] for each in api.comments] == ["of one again", "of the other"]


def test_without_news_no_comment_begins(api: GitHub, tmp_path: Path) -> None:
    comment(api, tmp_path, "nothing to lint", NEWS="false")
    assert api.comments == []


def test_without_news_a_comment_that_is_there_says_so(api: GitHub, tmp_path: Path) -> None:
    comment(api, tmp_path, "one finding")
    comment(api, tmp_path, "nothing to lint", NEWS="false")
    assert [each["body"] for each in api.comments] == [f"{MARKER}\nnothing to lint"]


def test_a_run_that_is_of_no_pull_request_asks_nothing(api: GitHub, tmp_path: Path) -> None:
    done = comment(api, tmp_path, "one finding", event={"before": "0" * 40})
    assert (done.returncode, api.asked) == (0, [])


def test_a_token_that_may_only_read_is_a_warning(api: GitHub, tmp_path: Path) -> None:
    api.read_only = True
    done = comment(api, tmp_path, "one finding")
    assert done.returncode == 0
    assert done.stdout.startswith(
        "::warning title=evolve lint::no comment could be left on the pull request: 403"
    )
    assert "fork" in done.stdout


@pytest.mark.parametrize("failure", [(502, {}), (429, {}), (403, {"Retry-After": "1"})])
def test_a_server_that_is_busy_is_asked_again(
    api: GitHub, tmp_path: Path, failure: tuple[int, dict[str, str]]
) -> None:
    api.me = "robo"
    api.failures = [failure, failure]
    done = comment(api, tmp_path, "one finding")
    assert (done.stdout, len(api.comments)) == ("", 1)


def test_a_server_that_is_away_is_a_warning(api: GitHub, tmp_path: Path) -> None:
    done = comment(api, tmp_path, "one finding", GITHUB_API_URL="http://127.0.0.1:9")
    assert (done.returncode, "::warning" in done.stdout) == (0, True)


def test_more_than_github_takes_is_cut(api: GitHub, tmp_path: Path) -> None:
    comment(api, tmp_path, "x" * 70_000)
    assert [len(each["body"]) for each in api.comments] == [65_536]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shop on a branch that adds a revision to what main holds."""
    folder = tmp_path / "work"
    shutil.copytree(ROOT / "sample_projects/shop", folder)
    bad = next((folder / "bad_revisions").glob("*.py"))
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "shop")
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    git(folder, "switch", "-q", "-c", "feature")
    shutil.copy(bad, folder / "migrations/versions")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "rename")
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=dana", "-c", "user.email=dana@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def run_lint(
    shop: Path, folder: Path, **environment: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    (folder / "output").write_text("")
    (folder / "summary").write_text("")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GITHUB_", "RUNNER_", "EVOLVE_"))
    }
    done = subprocess.run(
        [sys.executable, ACTION / "run_lint.py"],
        cwd=shop,
        env={
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "RUNNER_TEMP": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = (folder / "output").read_text().splitlines()
    return done, dict(line.split("=", 1) for line in lines)


def test_findings_of_a_pull_request(shop: Path, tmp_path: Path) -> None:
    done, outputs = run_lint(shop, tmp_path, GITHUB_BASE_REF="main")
    assert done.returncode == 0, done.stderr
    assert (outputs["exit-status"], outputs["news"]) == ("1", "true")
    report = json.loads(Path(outputs["json"]).read_text())
    assert "EV202" in [finding["rule"] for finding in report["findings"]]
    assert json.loads(Path(outputs["sarif"]).read_text())["version"] == "2.1.0"
    assert "EV202" in (tmp_path / "summary").read_text()
    annotations = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
    assert any("file=migrations/versions/" in line and "EV202" in line for line in annotations)


def test_what_a_revision_says_is_no_command_to_the_runner(shop: Path, tmp_path: Path) -> None:
    file = next((shop / "migrations/versions").glob("0006*"))
    file.write_text(file.read_text().replace("def upgrade", "x = '\\n::add-mask::x'\n\n\ndef upgrade"))
    text = file.read_text().replace('"full_name")', '"full_name")  # evolve: what\n')
    file.write_text(text)
    done, _ = run_lint(shop, tmp_path, GITHUB_BASE_REF="main")
    lines = done.stdout.splitlines()
    stops = [number for number, line in enumerate(lines) if line.startswith("::stop-commands::")]
    assert stops
    for number in stops:
        token = lines[number].removeprefix("::stop-commands::")
        assert f"::{token}::" in lines[number:]


def test_a_push_is_linted_since_the_commit_before(shop: Path, tmp_path: Path) -> None:
    _, outputs = run_lint(shop, tmp_path, BEFORE=git(shop, "rev-parse", "HEAD"))
    assert (outputs["exit-status"], outputs["news"]) == ("0", "false")


@pytest.mark.parametrize("before", ["0" * 40, "f" * 40, ""])
def test_a_push_that_came_from_nowhere_is_linted_since_the_default_branch(
    shop: Path, tmp_path: Path, before: str
) -> None:
    _, outputs = run_lint(shop, tmp_path, BEFORE=before)
    assert outputs["exit-status"] == "1"


def test_arguments_are_words_and_never_code(shop: Path, tmp_path: Path) -> None:
    _, outputs = run_lint(
        shop, tmp_path, GITHUB_BASE_REF="main", ARGUMENTS="--fail-on info --enable '7xx' ; touch pwned"
    )
    assert outputs["exit-status"] == "2"
    assert not (shop / "pwned").exists()
    assert "could not check" in (tmp_path / "summary").read_text()


def test_a_wrong_question_is_told_and_ends_in_2(shop: Path, tmp_path: Path) -> None:
    done, outputs = run_lint(shop, tmp_path, SINCE="no-such-branch")
    assert (done.returncode, outputs["exit-status"]) == (0, "2")
    assert "no-such-branch" in (tmp_path / "summary").read_text()


def test_the_steps_of_the_action_take_nothing_from_outside_as_code() -> None:
    action = yaml.safe_load((ACTION / "action.yml").read_text())
    scripts = [step["run"] for step in action["runs"]["steps"] if "run" in step]
    assert len(scripts) == 4
    assert [script for script in scripts if "${{" in script] == []
    assert [script for script in scripts if "python3" in script and "python3 -I " not in script] == []


@pytest.mark.parametrize(
    ("repo", "held"),
    [({"full_name": "acme/shop"}, False), ({"full_name": "mallory/shop"}, True), (None, True)],
)
def test_what_a_fork_wants_merged_is_read_in_the_sandbox(
    shop: Path, tmp_path: Path, repo: dict[str, str] | None, held: bool
) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7, "head": {"repo": repo}}}))
    done, outputs = run_lint(
        shop,
        tmp_path,
        GITHUB_BASE_REF="main",
        GITHUB_EVENT_PATH=str(event),
        GITHUB_REPOSITORY="acme/shop",
    )
    assert ("--sandbox" in done.stdout.splitlines()[0], outputs["exit-status"]) == (held, "1")


def test_every_input_of_the_action_is_used_and_told() -> None:
    text = (ACTION / "action.yml").read_text()
    action = yaml.safe_load(text)
    assert [name for name in action["inputs"] if f"inputs.{name}" not in text] == []
    assert [name for name, given in action["inputs"].items() if not given.get("description")] == []
