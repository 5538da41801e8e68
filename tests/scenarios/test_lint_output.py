"""Reports of one run in several formats and files, paths that cannot be written, terminals of every kind."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from support.alembic_project import AlembicProject
from support.command_line import UNPRIVILEGED, environment, evolve

TABLES = """
    op.create_table("users", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
"""
BAD = 'op.create_index("users_name", "users", ["name"])'
ESCAPE = "\x1b["

MakeProject = Callable[..., AlembicProject]


@pytest.fixture
def project(make_project: MakeProject) -> AlembicProject:
    """Whose second revision has one error."""
    made = make_project()
    made.add("0001", TABLES)
    made.add("0002", BAD)
    return made


def lint(project: AlembicProject, *arguments: str) -> subprocess.CompletedProcess[str]:
    return evolve("lint", "0002", *arguments, cwd=project.root)


# -- several at once -----------------------------------------------------------------------------------------
def test_one_run_writes_all_formats(project: AlembicProject) -> None:
    names = ("text", "json", "markdown", "github", "gitlab", "sarif", "junit", "gcc")

    answer = lint(project, *(word for name in names for word in ("--output", f"{name}=report.{name}")))

    assert answer.returncode == 1
    for name in names:
        assert "EV102" in (project.root / f"report.{name}").read_text(encoding="utf-8")


def test_standard_output_has_the_format_asked_for(project: AlembicProject) -> None:
    answer = lint(project, "--format", "gitlab", "--output", "junit=junit.xml")

    assert json.loads(answer.stdout)[0]["check_name"] == "EV102 create-index-blocking"
    tree = ET.parse(project.root / "junit.xml")  # noqa: S314  # ours
    assert tree.getroot().get("failures") == "1"


def test_files_hold_what_standard_output_would(project: AlembicProject) -> None:
    lint(project, "--output", "markdown=report.md")

    assert (project.root / "report.md").read_text() == lint(project, "--format", "markdown").stdout


def test_a_report_is_written_over_an_older_one(project: AlembicProject) -> None:
    file = project.root / "report.json"
    file.write_text("older")
    file.chmod(0o600)

    lint(project, "--output", "json=report.json")

    assert json.loads(file.read_text())["schema"] == 1
    assert file.stat().st_mode & 0o777 == 0o600
    assert [left.name for left in project.root.iterdir() if left.name.startswith(".evolve-")] == []


def test_a_link_stays_one(project: AlembicProject) -> None:
    (project.root / "link.json").symlink_to("report.json")

    lint(project, "--output", "json=link.json")

    assert (project.root / "link.json").is_symlink()
    assert (project.root / "report.json").is_file()


def test_a_pipe_is_written_in_place(project: AlembicProject) -> None:
    pipe = project.root / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()

    lint(project, "--output", "gcc=pipe")
    reader.join(30)

    assert "EV102" in read[0]
    assert pipe.is_fifo()


# -- paths of files in the repository ------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["markdown", "github", "gitlab", "sarif", "junit"])
def test_forges_get_paths_from_the_top_of_the_repository(project: AlembicProject, name: str) -> None:
    (project.root.parent / ".git").mkdir()

    assert "project/migrations/versions/0002.py" in lint(project, "--format", name).stdout


@pytest.mark.parametrize("name", ["text", "json", "gcc"])
def test_people_and_editors_get_paths_from_where_they_are(project: AlembicProject, name: str) -> None:
    (project.root.parent / ".git").mkdir()

    shown = lint(project, "--format", name).stdout

    assert "migrations/versions/0002.py" in shown
    assert "project/migrations" not in shown


def test_sarif_links_to_the_site_that_the_settings_name(project: AlembicProject) -> None:
    (project.root / "evolve.toml").write_text('[lint]\ndocs_url = "https://docs.example.invalid/evolve"\n')

    document = json.loads(lint(project, "--format", "sarif").stdout)

    [rule] = document["runs"][0]["tool"]["driver"]["rules"]
    assert rule["helpUri"] == "https://docs.example.invalid/evolve/rules/EV102.html"


# -- what cannot be written ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["sarf=a"], 'there is no format "sarf"; did you mean sarif?'),
        (["sarif"], "it names no file"),
        (["sarif="], "it names no file"),
        (["sarif=-"], "--format sarif"),
        (["sarif=missing/a.sarif"], "there is no directory"),
        (["sarif=migrations"], "that is a directory"),
        (["sarif=alembic.ini/a"], "there is no directory"),
        (["sarif=a", "json=./a"], "the sarif report goes there already"),
        (["sarif=a", "json=link"], "the sarif report goes there already"),
    ],
)
def test_a_path_that_cannot_be_written_is_told_before_anything_is_read(
    project: AlembicProject, given: list[str], words: str
) -> None:
    (project.root / "link").symlink_to("a")
    (project.root / "migrations" / "env.py").write_text("raise SystemExit('it was read')")

    answer = lint(project, *(word for each in given for word in ("--output", each)))

    assert answer.returncode == 2
    assert words in answer.stderr
    assert given[-1] in answer.stderr
    assert "it was read" not in answer.stdout + answer.stderr


def test_a_folder_that_cannot_be_written_is_named(project: AlembicProject) -> None:
    folder = project.root / "reports"
    folder.mkdir(mode=0o555)

    answer = evolve(
        "lint", "0002", "--output", "sarif=reports/a.sarif", cwd=project.root, through=UNPRIVILEGED
    )

    assert answer.returncode == 2
    assert f"{folder} cannot be written to" in answer.stderr


# -- terminals -----------------------------------------------------------------------------------------------
def on_a_terminal(project: AlembicProject, columns: int = 110, **extra: str) -> str:
    """What the user of a terminal sees of standard output."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    plain = {name: value for name, value in environment().items() if name != "NO_COLOR"}
    running = subprocess.Popen(
        [sys.executable, "-m", "evolve", "lint", "0002"],
        cwd=project.root,
        env={**plain, "TERM": "xterm-256color", **extra},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    seen = b""
    try:
        while more := os.read(ours, 4096):
            seen += more
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    running.wait(60)
    return seen.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours(project: AlembicProject) -> None:
    assert ESCAPE in on_a_terminal(project)


@pytest.mark.parametrize(
    "variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}]
)
def test_a_terminal_that_wants_none_gets_no_colours(
    project: AlembicProject, variables: dict[str, str]
) -> None:
    assert ESCAPE not in on_a_terminal(project, **variables)


def test_a_pipe_gets_colours_where_they_are_forced(project: AlembicProject) -> None:
    forced = {"NO_COLOR": "", "FORCE_COLOR": "1"}

    assert ESCAPE in evolve("lint", "0002", cwd=project.root, env=forced).stdout


def test_a_file_gets_no_colours(project: AlembicProject) -> None:
    forced = {"NO_COLOR": "", "FORCE_COLOR": "1"}

    evolve("lint", "0002", "--output", "text=report.txt", cwd=project.root, env=forced)

    assert ESCAPE not in (project.root / "report.txt").read_text()


def test_colours_say_nothing_that_words_do_not(project: AlembicProject) -> None:
    colourful = re.sub("\x1b\\[[0-9;]*m", "", on_a_terminal(project))

    assert colourful == on_a_terminal(project, NO_COLOR="1")
    assert ": error EV102" in colourful


def test_prose_keeps_to_a_terminal_of_40_columns_and_code_stays_whole(project: AlembicProject) -> None:
    lines = on_a_terminal(project, columns=40, NO_COLOR="1").splitlines()

    assert f"   13 |     {BAD}" in lines or any(line.endswith(BAD) for line in lines)
    code = re.compile(r"\s+\d* ?\||    |migrations/|  fix: |.*\bevolve [a-z]+ ")
    assert [line for line in lines if len(line) > 40 and not code.match(line)] == []


def test_letters_that_a_terminal_does_not_know_do_not_end_the_run(make_project: MakeProject) -> None:
    project = make_project()
    project.add("0001", TABLES)
    project.add("0002", 'op.create_index("größe", "users", ["name"])')

    answer = evolve("lint", "0002", cwd=project.root, env={"PYTHONIOENCODING": "ascii"})

    assert answer.returncode == 1
    assert "gr\\xf6\\xdfe" in answer.stdout


# -- speed ---------------------------------------------------------------------------------------------------
def test_formats_that_nobody_asks_for_are_not_imported(project: AlembicProject) -> None:
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "evolve", "lint", "0002"],
        cwd=project.root,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in traced.stderr.splitlines()}

    assert "evolve.report.text" in imported
    others = ("json", "markdown", "github", "gitlab", "sarif", "junit", "gcc", "fingerprints")
    assert imported.isdisjoint({f"evolve.report.{name}" for name in others} | {"xml.etree.ElementTree"})
