"""What is imported to answer a question about revisions, in a fresh interpreter: start-up is part of the product."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.revision_files import Revisions

HEAVY = ("alembic", "sqlalchemy", "psycopg", "postgast", "click", "rich")


def _run(root: Path, code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _imported(root: Path, code: str) -> set[str]:
    loaded = _run(root, f"{code}\nimport sys\nprint(*sys.modules)")
    return set(loaded.split())


def test_histories_are_read_without_alembic(revisions: Revisions) -> None:
    revisions.add("a")

    loaded = _imported(
        revisions.root,
        """
from pathlib import Path
from evolve.revisions.project import find_project
from evolve.revisions.history import read_history
from evolve.revisions.select import Range, select
import evolve.revisions.read
project = find_project(Path("."))
assert len(select(project, read_history(project), Range("base:heads"))) == 1
""",
    )

    assert loaded.isdisjoint(HEAVY)


def test_reading_nothing_imports_nothing(revisions: Revisions) -> None:
    loaded = _imported(
        revisions.root,
        """
from pathlib import Path
from evolve.revisions.project import find_project
from evolve.revisions.read import read
from evolve.revisions.select import Range
assert read(find_project(Path(".")), Range("base:heads")) == []
""",
    )

    assert loaded.isdisjoint(HEAVY)


def test_capturing_needs_no_driver_and_no_mapper(revisions: Revisions) -> None:
    revisions.add("a", "op.drop_table('t')")

    loaded = _imported(
        revisions.root,
        """
from pathlib import Path
from evolve.revisions.capture import capture
from evolve.revisions.history import read_history
from evolve.revisions.project import find_project
project = find_project(Path("."))
assert capture(project, list(read_history(project).revisions.values()))[0].statements
""",
    )

    assert loaded.isdisjoint({"psycopg", "sqlalchemy.orm", "postgast", "click"})


def test_old_sessions_work_where_the_mapper_is_imported_late(revisions: Revisions) -> None:
    revisions.add(
        "a", "Session(bind=op.get_bind()).execute('DROP TABLE t')", head="from sqlalchemy.orm import Session"
    )

    printed = _run(
        revisions.root,
        """
from pathlib import Path
from evolve.revisions.capture import capture
from evolve.revisions.history import read_history
from evolve.revisions.project import find_project
project = find_project(Path("."))
recording = capture(project, list(read_history(project).revisions.values()))[0]
import inspect, sqlalchemy.orm
print([s.sql for s in recording.statements], len(recording.remarks), sqlalchemy.orm.Session.execute.__qualname__)
inspect.getsource(sqlalchemy.orm)
""",
    )

    assert printed == "['DROP TABLE t'] 0 Session.execute"


def test_a_driver_that_a_revision_imports_first_cannot_connect(revisions: Revisions) -> None:
    revisions.add("a", "psycopg.connect('host=127.0.0.1 port=9')", head="import psycopg")

    printed = _run(
        revisions.root,
        """
from pathlib import Path
from evolve.revisions.capture import capture
from evolve.revisions.history import read_history
from evolve.revisions.project import find_project
project = find_project(Path("."))
recording = capture(project, list(read_history(project).revisions.values()))[0]
print(recording.remarks[0].detail)
""",
    )

    assert "connecting to a server" in printed


def test_the_linter_reads_before_it_imports_what_judges(revisions: Revisions) -> None:
    loaded = _imported(revisions.root, "import evolve.app.lint_revisions, evolve.app.lint_scripts")

    assert loaded.isdisjoint({*HEAVY, "evolve.lint.rules", "evolve.lint.engine"})


def test_rules_are_sought_once_while_another_process_reads(revisions: Revisions) -> None:
    # What sleeps is not waited for; this keeps the other process at work until the rules are asked for.
    revisions.add(
        "a", "end = time.monotonic() + 2\nwhile time.monotonic() < end:\n    pass", head="import time"
    )

    said = _run(
        revisions.root,
        """
import os
from pathlib import Path
from evolve.app.lint_revisions import Options, ask, lint
from evolve.revisions.project import find_project

def rules():
    print(os.waitpid(-1, os.WNOHANG))  # it raises where no process of ours is left
    return ()

project = find_project(Path("."))
lint(project, ask(project, revisions="base:heads"), Options(), rules)
""",
    )

    assert said == "(0, 0)"
