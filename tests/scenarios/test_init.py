"""`evolve init`: what it finds, writes and leaves alone, and that the hook and the jobs that it writes work."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command_line import evolve

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "sample_projects/shop"
HOOK = {
    "id": "evolve-lint",
    "name": "evolve lint",
    "entry": "evolve lint --staged",
    "language": "system",
    "pass_filenames": False,
    "files": r"^(migrations/versions)/.*\.py$",
}


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    who = ("-c", "user.name=dana", "-c", "user.email=dana@localhost", "-c", "commit.gpgsign=false")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shop in a repository, before anybody thought of evolve."""
    folder = Path(shutil.copytree(SHOP, tmp_path / "shop"))
    text = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(text[: text.index("[tool.evolve]")])
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "shop")
    return folder


def settings(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(file.read_text())["tool"]["evolve"]
    return found


def test_a_project_becomes_one_that_is_linted(shop: Path) -> None:
    (shop / ".github").mkdir()
    done = evolve("init", "--yes", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert settings(shop / "pyproject.toml") == {"lint": {"postgres_version": 15}}
    hooks = yaml.safe_load((shop / ".pre-commit-config.yaml").read_text())
    assert hooks == {"repos": [{"repo": "local", "hooks": [HOOK]}]}
    assert "evolve-lint" in yaml.safe_load((shop / ".github/workflows/evolve-lint.yml").read_text())["jobs"]
    assert evolve("lint", "base:heads", cwd=shop).returncode == 0


def test_a_second_run_writes_nothing(shop: Path) -> None:
    evolve("init", "--yes", "--ci", "gitlab", cwd=shop)
    before = {
        path: path.read_bytes() for path in shop.rglob("*") if path.is_file() and ".git/" not in str(path)
    }
    done = evolve("init", "--yes", "--ci", "gitlab", cwd=shop)
    assert (done.returncode, done.stdout) == (0, "nothing to write\n")
    after = {
        path: path.read_bytes() for path in shop.rglob("*") if path.is_file() and ".git/" not in str(path)
    }
    assert after == before


def test_the_diff_is_one_that_git_applies(shop: Path) -> None:
    (shop / ".pre-commit-config.yaml").write_text(
        "repos:\n- repo: https://example.org\n  rev: v1\n  hooks: []"
    )
    shown = evolve("init", "--dry-run", "--ci", "github", cwd=shop).stdout
    (shop.parent / "patch").write_text(shown)
    applied = git(shop, "apply", str(shop.parent / "patch"))
    assert applied.returncode == 0, applied.stderr
    assert evolve("init", "--ci", "github", cwd=shop).stdout == "nothing to write\n"


def test_without_a_terminal_and_without_yes_nothing_is_written(shop: Path) -> None:
    done = evolve("init", cwd=shop)
    assert done.returncode == 2
    assert "evolve init --yes" in done.stderr
    assert git(shop, "status", "--porcelain").stdout == ""


def test_a_hook_list_keeps_its_comments_and_its_indentation(shop: Path) -> None:
    file = shop / ".pre-commit-config.yaml"
    file.write_text(
        "# ours\nrepos:\n    - repo: https://example.org\n      rev: v1 # pinned\n      hooks:\n        - id: x\n\n"
        "# the rest\nci:\n    autofix_prs: false\n"
    )
    evolve("init", "--yes", cwd=shop)
    text = file.read_text()
    assert [repo["repo"] for repo in yaml.safe_load(text)["repos"]] == ["https://example.org", "local"]
    assert [line for line in text.splitlines() if "#" in line] == [
        "# ours",
        "      rev: v1 # pinned",
        "        # Judges the revisions that are staged; the evolve on the PATH does it.",
        "# the rest",
    ]


@pytest.mark.parametrize("text", ["repos: []\n", "exclude: x\n", "repos: [{repo: local, hooks: []}]\n"])
def test_a_hook_list_of_another_form_is_left_alone(shop: Path, text: str) -> None:
    (shop / ".pre-commit-config.yaml").write_text(text)
    done = evolve("init", "--yes", cwd=shop)
    assert "by hand: add to the repos of" in done.stderr
    assert (shop / ".pre-commit-config.yaml").read_text() == text


def test_a_project_in_a_folder_of_its_repository(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("# the workspace\r\n[project]\r\nname = 'all'\r\n", newline="")
    shutil.copytree(SHOP, tmp_path / "backend")
    (tmp_path / "backend/pyproject.toml").unlink()
    git(tmp_path, "init", "-q", "-b", "main")

    evolve("init", "--yes", "--ci", "gitlab", "-C", "backend", cwd=tmp_path)

    assert settings(tmp_path / "pyproject.toml")["alembic_config"] == "backend/alembic.ini"
    text = (tmp_path / "pyproject.toml").read_bytes()
    assert text.startswith(b"# the workspace\r\n")
    assert text.count(b"\n") == text.count(b"\r\n")
    (hook,) = yaml.safe_load((tmp_path / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert (hook["entry"], hook["files"]) == (
        "evolve lint -C backend --staged",
        r"^(backend/migrations/versions)/.*\.py$",
    )
    assert "evolve lint -C backend --since" in (tmp_path / ".gitlab/evolve-lint.yml").read_text()
    assert yaml.safe_load((tmp_path / ".gitlab-ci.yml").read_text()) == {
        "include": [{"local": ".gitlab/evolve-lint.yml"}]
    }


@pytest.mark.parametrize("folder", ["my app", "o'hare", "a: b", "a #1"])
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_a_folder_whose_name_means_something_to_shells_and_yaml(tmp_path: Path, folder: str, ci: str) -> None:
    shutil.copytree(SHOP, tmp_path / folder)
    git(tmp_path, "init", "-q", "-b", "main")
    evolve("init", "--yes", "--ci", ci, "-C", folder, cwd=tmp_path)
    (hook,) = yaml.safe_load((tmp_path / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    job = tmp_path / (".github/workflows/evolve-lint.yml" if ci == "github" else ".gitlab/evolve-lint.yml")
    (line,) = [text for text in texts(yaml.safe_load(job.read_text())) if text.startswith("evolve lint ")]
    assert shlex.split(hook["entry"])[:4] == ["evolve", "lint", "-C", folder]
    assert shlex.split(line)[:4] == ["evolve", "lint", "-C", folder]
    assert re.search(hook["files"], f"{folder}/migrations/versions/0001_users.py")


def texts(value: object) -> list[str]:
    match value:
        case dict():
            return [text for each in value.values() for text in texts(each)]
        case list():
            return [text for each in value for text in texts(each)]
        case _:
            return [str(value)]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Two projects below one pyproject.toml."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'all'\n")
    for name in ("billing", "shop"):
        shutil.copytree(SHOP, tmp_path / name)
        (tmp_path / name / "pyproject.toml").unlink()
    git(tmp_path, "init", "-q", "-b", "main")
    evolve("init", "--yes", "--ci", "github", "-C", "billing", cwd=tmp_path)
    return tmp_path


def test_a_second_project_of_a_repository_has_a_hook_of_its_own(workspace: Path) -> None:
    done = evolve("init", "--yes", "--ci", "github", "-C", "shop", cwd=workspace)
    repos = yaml.safe_load((workspace / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["hooks"][0]["entry"] for repo in repos] == [
        "evolve lint -C billing --staged",
        "evolve lint -C shop --staged",
    ]
    assert "evolve-lint.yml says nothing of shop: add a job that lints it" in done.stderr
    again = evolve("init", "--yes", "--ci", "none", "-C", "shop", cwd=workspace)
    assert again.stdout == "nothing to write\n"


def test_a_second_project_is_linted_for_itself(workspace: Path) -> None:
    """The settings above it name the first one."""
    shutil.copy(next((SHOP / "bad_revisions").glob("*.py")), workspace / "shop/migrations/versions")
    done = evolve("lint", "base:heads", "-C", "shop", cwd=workspace)
    assert "shop/migrations/versions/0006_everything_at_once.py:13: error EV202" in done.stdout


def test_a_project_behind_a_link(shop: Path) -> None:
    (shop.parent / "link").symlink_to(shop)
    done = evolve("init", "--yes", "-C", "link", cwd=shop.parent)
    assert done.returncode == 0, done.stderr
    assert (shop / ".pre-commit-config.yaml").exists()


@pytest.mark.parametrize(
    "hooks",
    [
        "[{id: evolve-lint, args: [--strict]}]",
        "[{ id: 'evolve-lint' }]",
        "\n      - id: evolve-lint # ours",
        '\n      - name: lint\n        id: "evolve-lint"',
    ],
)
def test_a_hook_that_is_there_is_seen(shop: Path, hooks: str) -> None:
    (shop / ".pre-commit-config.yaml").write_text(f"repos:\n  - repo: x\n    rev: v1\n    hooks: {hooks}\n")
    done = evolve("init", "--yes", cwd=shop)
    assert "there already: the hook evolve-lint" in done.stderr


@pytest.mark.parametrize("text", ["---\nstages: [test]\n", "spec:\n  inputs:\n    x:\n---\nstages: [test]\n"])
def test_a_pipeline_of_several_documents_is_included_in_its_last(shop: Path, text: str) -> None:
    (shop / ".gitlab-ci.yml").write_text(text)
    evolve("init", "--yes", cwd=shop)
    *before, pipeline = yaml.safe_load_all((shop / ".gitlab-ci.yml").read_text())
    assert pipeline == {"stages": ["test"], "include": [{"local": ".gitlab/evolve-lint.yml"}]}
    assert before == list(yaml.safe_load_all(text))[:-1]


@pytest.mark.parametrize("content", [b"# caf\xe9\nrepos: []\n", None])
def test_a_file_that_cannot_be_read_is_named(shop: Path, content: bytes | None) -> None:
    file = shop / ".pre-commit-config.yaml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    done = evolve("init", "--yes", cwd=shop)
    assert done.returncode == 2
    assert f'"{file}" cannot be read' in done.stderr


def test_a_table_that_takes_no_others_is_left_alone(shop: Path) -> None:
    (shop / "pyproject.toml").write_text("tool = {ruff = {line-length = 100}}\n")
    done = evolve("init", "--yes", cwd=shop)
    assert f"by hand: add to {shop}/pyproject.toml, in the form that its table tool has" in done.stderr
    assert (shop / "pyproject.toml").read_text() == "tool = {ruff = {line-length = 100}}\n"


def test_a_pipeline_that_includes_other_files_is_left_alone(shop: Path) -> None:
    (shop / ".gitlab-ci.yml").write_text("include: other.yml\n")
    done = evolve("init", "--yes", cwd=shop)
    assert "by hand: add to the include of" in done.stderr
    assert (shop / ".gitlab-ci.yml").read_text() == "include: other.yml\n"
    assert (shop / ".gitlab/evolve-lint.yml").exists()


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("git@github.com:acme/shop.git", ".github/workflows/evolve-lint.yml"),
        ("https://gitlab.example.org/acme/shop.git", ".gitlab/evolve-lint.yml"),
        ("ssh://forge.example.org/acme/shop.git", None),
    ],
)
def test_the_forge_is_told_by_the_remote(shop: Path, address: str, file: str | None) -> None:
    git(shop, "remote", "add", "origin", address)
    answer = json.loads(evolve("init", "--format", "json", cwd=shop).stdout)
    jobs = [each["path"] for each in answer["files"] if each["path"].endswith("evolve-lint.yml")]
    assert jobs == ([str(shop / file)] if file else [])


def test_outside_a_repository_there_are_only_settings(tmp_path: Path) -> None:
    shutil.copytree(SHOP / "migrations", tmp_path / "migrations")
    shutil.copy(SHOP / "alembic.ini", tmp_path)
    done = evolve("init", "--yes", cwd=tmp_path, env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
    assert "is in no git repository" in done.stderr
    assert (tmp_path / "evolve.toml").read_text().startswith("[lint]\n")
    assert evolve("lint", "base:heads", cwd=tmp_path).returncode == 0


def test_a_folder_that_cannot_be_written_to_changes_nothing(shop: Path) -> None:
    (shop / ".github").write_text("in the way\n")
    done = evolve("init", "--yes", "--ci", "github", cwd=shop)
    assert done.returncode == 2
    assert not (shop / ".pre-commit-config.yaml").exists()


def test_toml_that_is_broken_is_told(shop: Path) -> None:
    (shop / "pyproject.toml").write_text("[tool\n")
    done = evolve("init", "--yes", cwd=shop)
    assert done.returncode == 2
    assert "pyproject.toml:1" in done.stderr


def test_where_there_is_no_project(tmp_path: Path) -> None:
    done = evolve("init", "--yes", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no Alembic project here" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def hooked(shop: Path) -> Path:
    """With the hook that init wrote installed by pre-commit."""
    evolve("init", "--yes", "--ci", "none", cwd=shop)
    git(shop, "add", ".")
    git(shop, "commit", "-q", "-m", "evolve")
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "install"], cwd=shop, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return shop


def test_the_hook_refuses_a_commit(hooked: Path) -> None:
    shutil.copy(next((hooked / "bad_revisions").glob("*.py")), hooked / "migrations/versions")
    git(hooked, "add", ".")
    done = git(hooked, "commit", "-m", "rename")
    assert done.returncode == 1
    assert "EV202" in done.stderr
    assert git(hooked, "log", "--format=%s").stdout.splitlines()[0] == "evolve"


def test_the_hook_lets_a_commit_pass(hooked: Path) -> None:
    file = next(
        file for file in (hooked / "migrations/versions").glob("*.py") if file.name.startswith("0001")
    )
    file.write_text(file.read_text() + "\n# a remark\n")
    done = git(hooked, "commit", "-a", "-m", "remark")
    assert done.returncode == 0, done.stderr
    assert git(hooked, "log", "--format=%s").stdout.splitlines()[0] == "remark"


def test_the_hooks_of_this_repository_are_ones_that_pre_commit_takes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


GUIDE = (ROOT / "evolve/docs/guides/ci.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_guide_run(shop: Path) -> None:
    lines = [line for language, text in BLOCKS if language == "console" for line in text.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("$ ")]
    assert commands
    for program, *arguments in commands:
        assert program == "evolve"
        done = evolve(*arguments, cwd=shop)
        assert done.returncode == 0, done.stderr


def test_what_the_guide_shows_is_what_is_written(shop: Path) -> None:
    evolve("init", "--yes", "--ci", "gitlab", cwd=shop)
    shown = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
    assert yaml.safe_load((shop / ".gitlab/evolve-lint.yml").read_text()) in shown
    assert yaml.safe_load((shop / ".pre-commit-config.yaml").read_text()) in shown


def test_the_guide_gives_the_action_only_inputs_that_it_has() -> None:
    shown = [
        yaml.safe_load(text) for language, text in BLOCKS if language == "yaml" and "evolve-lint@" in text
    ]
    action = yaml.safe_load((ROOT / ".github/actions/evolve-lint/action.yml").read_text())
    (step,) = [
        step
        for example in shown
        for step in example["jobs"]["evolve-lint"]["steps"]
        if "@REF" in step["uses"]
    ]
    assert set(step["with"]) <= set(action["inputs"])
