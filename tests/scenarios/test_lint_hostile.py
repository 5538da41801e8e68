"""`evolve lint` on revisions that attack whoever reads them: each is told of with its place, and none gets away."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.command_line import evolve
from support.revision_files import Revisions

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other kernels refuse no system calls")
MODES = [pytest.param((), id="plain"), pytest.param(("--sandbox",), id="sandbox", marks=LINUX)]


@dataclass
class Answer:
    status: int
    findings: list[dict[str, Any]]

    def of(self, revision: str) -> dict[str, int]:
        """The first line of each rule that finds something in the revision."""
        lines: dict[str, int] = {}
        for finding in self.findings:
            if finding["revision"] == revision:
                lines.setdefault(finding["name"], finding["line"])
        return lines


def lint(revisions: Revisions, *options: str, environment: dict[str, str] | None = None) -> Answer:
    (revisions.root / "pyproject.toml").write_text("[tool.evolve.lint]\ntime_limit = 1\n")
    done = evolve(
        "lint", "base:heads", "--format", "json", "--no-cache", *options, cwd=revisions.root, env=environment
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Answer(done.returncode, json.loads(done.stdout)["findings"])


def hostile(tmp_path: Path, body: str, *, head: str = "") -> Revisions:
    """Three revisions, of which the second does `body` on its line 8 (and on)."""
    revisions = Revisions(tmp_path / "project")
    revisions.add("first", "op.execute('CREATE TABLE users (id bigint)')")
    revisions.add("second", textwrap.dedent(body).strip(), head=head)
    revisions.add("third", "op.execute('DROP TABLE users')")
    return revisions


@pytest.mark.parametrize("options", MODES)
@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("import os; os._exit(0)", "side-effect"),
        ("import posix; posix._exit(0)", "side-effect"),
        ("import os; os.kill(os.getpid(), 9)", "side-effect"),
        ("import os; os.fork()", "side-effect"),
        ("import os; os.system('true')", "side-effect"),
        ("import subprocess; subprocess.run(['true'])", "side-effect"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "side-effect"),
        ("open('written', 'w')", "side-effect"),
        ("from pathlib import Path; Path('written').write_text('x')", "side-effect"),
        ("import sqlite3; sqlite3.connect('written')", "side-effect"),
        ("import ctypes; ctypes.CDLL(None)._exit(0)", "side-effect"),
        ("import threading; threading.Thread(target=print).start()", "side-effect"),
        ("import sys; sys.settrace(print)", "side-effect"),
        ("import sys; sys.addaudithook(print)", "side-effect"),
        ("raise SystemExit(0)", "revision-raised"),
        ("raise KeyboardInterrupt", "revision-raised"),
        ("[0] * 10**11", "revision-raised"),
        ("def f(): f()\nf()", "revision-raised"),
        ("while True: pass", "revision-timed-out"),
        ("import re; re.match('(a+)+b', 'a' * 60)", "revision-timed-out"),
        ("sum(range(10**13))", "revision-timed-out"),
        ("import sys, faulthandler; faulthandler._sigsegv()", "revision-raised"),
    ],
)
def test_each_attack_is_told_of_in_its_line(
    tmp_path: Path, body: str, rule: str, options: tuple[str, ...]
) -> None:
    revisions = hostile(tmp_path, body)

    answer = lint(revisions, *options)

    assert 8 <= answer.of("second")[rule] <= 9
    assert "drop-table" in answer.of("third")
    assert not (revisions.root / "written").exists()


@pytest.mark.parametrize("options", MODES)
def test_an_exception_that_is_swallowed_is_told_of_all_the_same(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    revisions = hostile(tmp_path, "try:\n    open('written', 'w')\nexcept BaseException:\n    pass")

    assert "side-effect" in lint(revisions, *options).of("second")


@pytest.mark.parametrize("options", MODES)
@pytest.mark.parametrize(
    "body",
    [
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import evolve.revisions.apart as apart\napart._send = lambda *_: None",
        "import evolve.revisions.apart as apart, json\napart.json.dumps = lambda *_: '['",
    ],
)
def test_one_that_breaks_the_reading_costs_itself_only(
    tmp_path: Path, body: str, options: tuple[str, ...]
) -> None:
    answer = lint(hostile(tmp_path, body), *options)

    assert {"revision-timed-out", "revision-raised"} & set(answer.of("second"))
    assert "drop-table" in answer.of("third")


@pytest.mark.parametrize("options", MODES)
def test_what_is_written_to_the_output_does_not_reach_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    body = """
        import atexit, os, sys
        print("noise"); sys.__stdout__.write("noise"); os.write(1, b"noise"); atexit.register(print, "noise")
        open(1, "w", closefd=False)
    """

    answer = lint(hostile(tmp_path, body), *options)  # its output is JSON and nothing else

    assert "drop-table" in answer.of("third")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    revisions = hostile(tmp_path, "pass")
    revisions.write("fourth.py", "").write_bytes(
        b"revision = 'fourth'\ndown_revision = 'third'\n# \xff\xfe\n"
    )

    assert "revision-not-loaded" in lint(revisions).of("fourth")


def test_sql_of_other_dialects_and_five_megabytes_of_it(tmp_path: Path) -> None:
    body = """
        op.execute("ALTER TABLE `users` ENGINE = InnoDB")
        op.execute("INSERT INTO users VALUES " + ", ".join(f"({n})" for n in range(600_000)))
    """

    answer = lint(hostile(tmp_path, body))

    assert answer.of("second")["unread-statement"] == 8


# -- what only the kernel can refuse ------------------------------------------------------------------------
# Code under another file's name passes for a library, which evolve's own guard lets call into C.
DISGUISED = """
import ctypes
c = ctypes.CDLL(None, use_errno=True)
{call}
"""


def disguised(tmp_path: Path, call: str) -> Revisions:
    code = DISGUISED.format(call=call)
    body = f"""
        names = {{}}
        exec(compile({code!r}, "/usr/lib/python3/dist-packages/harmless.py", "exec"), names)
        op.execute(f"SELECT '{{names['answer']}}'")
    """
    return hostile(tmp_path, body)


@LINUX
@pytest.mark.parametrize(
    "call",
    [
        "answer = c.socket(2, 1, 0)",
        "answer = c.socket(1, 1, 0)",
        "answer = c.fork()",
        "answer = c.kill(c.getppid(), 0)",
        "answer = c.open(b'written', 0o101, 0o600)",
        "answer = c.mkdir(b'written', 0o700)",
        "answer = c.unlink(b'alembic.ini')",
        "answer = c.rename(b'alembic.ini', b'written')",
        "answer = c.chmod(b'alembic.ini', 0)",
        "answer = c.ptrace(16, c.getppid(), 0, 0)",
        "answer = c.prctl(4, 1, 0, 0, 0)",
        "answer = c.syscall(425, 8, 0)",
    ],
)
def test_the_kernel_refuses_what_calls_into_c_attempt(tmp_path: Path, call: str) -> None:
    revisions = disguised(tmp_path, call)

    from evolve.revisions.history import read_history
    from evolve.revisions.project import find_project
    from evolve.revisions.read import record

    project = find_project(revisions.root)
    history = read_history(project)
    _, second, _ = record(project, history.order(history.revisions), sandbox=True)

    assert [statement.sql for statement in second.statements] == ["SELECT '-1'"]
    assert not (revisions.root / "written").exists()


@LINUX
@pytest.mark.parametrize("file", ["/proc/self/environ", "/proc/{parent}/environ"])
def test_secrets_stay_outside(tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://who:hunter2@db/app")
    revisions = hostile(
        tmp_path,
        f"""
        import os
        op.execute("SELECT " + str('DATABASE_URL' in os.environ))
        try:
            text = open({file!r}.format(parent=os.getppid()), 'rb').read()
        except PermissionError:
            text = b''
        op.execute("SELECT " + str(b'hunter2' in text))
        """,
    )

    answer = lint(
        revisions,
        "--sandbox",
        "--enable",
        "all",
        environment={"DATABASE_URL": "postgresql://who:hunter2@db/app"},
    )

    assert not [finding for finding in answer.findings if "True" in (finding["sql"] or "")]


def test_a_platform_that_cannot_contain_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evolve.revisions import sandbox
    from evolve.revisions.project import find_project

    monkeypatch.setattr("sys.platform", "darwin")

    with pytest.raises(sandbox.NoSandbox, match="Linux"):
        sandbox.sandboxed(
            find_project(hostile(tmp_path, "pass").root), [], time_limit=1, asks=False, direction="upgrade"
        )


# -- downgrades ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", MODES)
def test_downgrades_are_judged_only_where_they_are_asked_for(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    revisions = Revisions(tmp_path / "project")
    revisions.add("users", "op.create_table('users', sa.Column('id', sa.BigInteger, primary_key=True))")

    silent, asked = lint(revisions, *options), lint(revisions, "--downgrades", *options)

    assert silent.findings == []
    assert [(found["name"], found["direction"]) for found in asked.findings] == [("drop-table", "downgrade")]


def test_a_downgrade_is_told_of_as_one(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path / "project")
    revisions.add(
        "users",
        "op.execute('CREATE TYPE t AS ENUM ()')\nop.execute('CREATE TABLE users (id int8 PRIMARY KEY)')",
    )

    found = lint(revisions, "--downgrades").findings

    assert [(each["name"], each["severity"], each["message"]) for each in found] == [
        ("drop-table", "warning", 'downgrade(): "users" is dropped with its rows'),
        ("downgrade-mismatch", "warning", "downgrade() does not undo upgrade(): enum t is not expected"),
    ]


def test_what_was_refused_is_not_blamed_on_missing_rows(tmp_path: Path) -> None:
    revisions = hostile(tmp_path, "open('written', 'w')")

    raised = next(each for each in lint(revisions).findings if each["name"] == "revision-raised")

    assert "where evolve refused" in raised["message"]
    assert (raised["fix"], "rows" in raised["why"]) == (None, False)
