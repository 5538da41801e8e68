"""`evolve lint --fix` as a user calls it: what it shows, writes, asks and leaves alone."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.alembic_project import AlembicProject
from support.command_line import environment, evolve
from support.git import git

TABLES = """
    op.create_table(
        "users", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text())
    )
"""
INDEX = 'op.create_index("users_name", "users", ["name"])'
FIXED = 'op.create_index("users_name", "users", ["name"], postgresql_concurrently=True)'

NEEDS_GIT = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on the PATH")
MakeProject = Callable[..., AlembicProject]


@pytest.fixture
def project(make_project: MakeProject) -> AlembicProject:
    made = make_project()
    made.add("0001", TABLES)
    made.add("0002", INDEX)
    return made


def text(project: AlembicProject) -> str:
    (file,) = (path for path in project.root.rglob("*.py") if "users_name" in path.read_text("utf-8"))
    return file.read_text("utf-8")


@pytest.mark.parametrize("options", [("--dry-run",), (), ("--dry-run", "--yes")])
def test_nothing_is_written_without_consent(project: AlembicProject, options: tuple[str, ...]) -> None:
    before = text(project)
    answer = evolve("lint", "0002", "--fix", *options, cwd=project.root)

    assert (text(project), answer.returncode) == (before, 1)


@NEEDS_GIT
@pytest.mark.parametrize(
    "shape",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n\n\ndef upgrade", "\n\x0c\n\ndef upgrade"),
        lambda text: text.replace('"""0002"""', '"""0002 \u2028 \x85 é"""'),
        lambda text: text.rstrip("\n"),
    ],
    ids=["as it is", "CRLF", "form feed", "separators", "no end of line"],
)
def test_the_diff_is_what_git_applies(project: AlembicProject, shape: Callable[[str], str]) -> None:
    file = project.versions / "0002.py"
    file.write_bytes(shape(file.read_text()).encode())
    words = [sys.executable, "-m", "evolve", "lint", "0002", "--fix"]
    shown = subprocess.run([*words, "--dry-run"], cwd=project.root, env=environment(), capture_output=True)
    changed = shown.stdout.partition(b"not mended:")[0].partition(b"migrations/versions/0002.py:")[0]
    subprocess.run(["git", "apply"], input=changed, cwd=project.root, check=True, capture_output=True)
    applied = file.read_bytes()

    assert FIXED in applied.decode()
    assert subprocess.run([*words, "--yes"], cwd=project.root, env=environment()).returncode == 0
    assert file.read_bytes() == applied


def test_yes_writes_and_reports_what_is_left(project: AlembicProject) -> None:
    answer = evolve("lint", "0002", "--fix", "--yes", cwd=project.root)

    assert (FIXED in text(project), answer.returncode) == (True, 0), answer.stderr
    assert "nothing found in 1 revision" in answer.stdout


def test_what_is_written_is_not_written_again(project: AlembicProject) -> None:
    evolve("lint", "0002", "--fix", "--yes", cwd=project.root)
    once = text(project)
    answer = evolve("lint", "0002", "--fix", "--yes", cwd=project.root)

    assert text(project) == once
    assert "nothing to mend" in answer.stderr


def test_findings_that_need_phases_name_their_command(project: AlembicProject) -> None:
    project.add("0003", 'op.alter_column("users", "name", nullable=False)')
    answer = evolve("lint", "0003", "--fix", "--yes", cwd=project.root)

    assert "it needs phases: evolve plan set-not-null users.name" in answer.stdout
    assert answer.returncode == 1


def test_json_gives_the_edits(project: AlembicProject) -> None:
    before = text(project).splitlines(keepends=True)
    answer = json.loads(evolve("lint", "0002", "--fix", "--format", "json", "--yes", cwd=project.root).stdout)
    (file,) = answer["files"]
    (edit,) = file["edits"]
    before[edit["first_line"] - 1 : edit["end_line"] - 1] = [edit["text"]]

    assert "".join(before) == text(project)
    assert (answer["written"], answer["report"]["findings"]) == (True, [])


def test_the_mode_of_the_file_is_kept(project: AlembicProject) -> None:
    (file,) = (path for path in project.root.rglob("*.py") if "users_name" in path.read_text("utf-8"))
    file.chmod(0o640)
    evolve("lint", "0002", "--fix", "--yes", cwd=project.root)

    assert file.stat().st_mode & 0o777 == 0o640


@NEEDS_GIT
def test_what_the_default_branch_has_is_rewritten_only_where_it_is_named(project: AlembicProject) -> None:
    git(project.root, "init", "-q", "-b", "main")
    git(project.root, "add", ".")
    git(project.root, "commit", "-q", "-m", "as it is")
    before = text(project)
    answer = evolve("lint", "base:heads", "--fix", "--yes", cwd=project.root)

    assert (text(project), "others may have applied it" in answer.stdout) == (before, True)
    evolve("lint", "0002", "--fix", "--yes", cwd=project.root)
    assert FIXED in text(project)


@NEEDS_GIT
def test_new_revisions_are_rewritten_where_a_branch_adds_them(project: AlembicProject) -> None:
    git(project.root, "init", "-q", "-b", "main")
    git(project.root, "add", ".")
    git(project.root, "commit", "-q", "-m", "as it is")
    project.add("0003", 'op.create_index("users_id_name", "users", ["id", "name"])')
    answer = evolve("lint", "--fix", "--yes", cwd=project.root)

    assert (answer.returncode, "1 file written" in answer.stderr) == (0, True), answer.stdout


def test_outside_git_nothing_tells_what_is_new(project: AlembicProject) -> None:
    before = text(project)
    answer = evolve("lint", "--fix", "--yes", cwd=project.root)

    assert (text(project), "git does not tell" in answer.stdout) == (before, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--yes",), "--yes says what --fix is to do"),
        (("--fix", "--staged"), "--staged is about something else"),
        (("--fix", "--verify"), "--verify is about something else"),
        (("--fix", "--format", "sarif"), "--format sarif is about something else"),
        (("--fix", "-"), "standard input is about something else"),
    ],
)
def test_options_that_contradict_it(project: AlembicProject, options: tuple[str, ...], said: str) -> None:
    answer = evolve("lint", *options, cwd=project.root)

    assert (answer.returncode, said in answer.stderr) == (2, True), answer.stderr


def test_files_of_sql(tmp_path: Path) -> None:
    file = tmp_path / "change.sql"
    file.write_bytes(b"CREATE INDEX ix ON users (name);\r\n")
    evolve("lint", "change.sql", "--fix", "--yes", cwd=tmp_path)

    assert file.read_bytes() == b"CREATE INDEX CONCURRENTLY ix ON users (name);\r\n"


@pytest.mark.parametrize(("typed", "written"), [("y", True), ("n", False)])
def test_a_terminal_is_asked(project: AlembicProject, typed: str, written: bool) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "evolve", "lint", "0002", "--fix"],
        cwd=project.root,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment({"NO_COLOR": "", "TERM": "xterm"}),
    )
    os.close(theirs)
    seen = b""
    while b"Write 1 file?" not in seen:
        assert select.select([ours], [], [], 60)[0], seen
        seen += os.read(ours, 4096)
    os.write(ours, f"{typed}\n".encode())
    while process.poll() is None:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                seen += os.read(ours, 4096)
            except OSError:
                break
    process.wait(60)
    os.close(ours)

    assert (FIXED in text(project), b"\x1b[32m+" in seen) == (written, True), seen
