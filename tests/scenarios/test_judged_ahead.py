"""What is judged while later revisions are read is what judging all of them afterwards finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.long_history import write_history, write_revision
from support.revision_files import Revisions

from evolve.app.judge_recordings import Ahead
from evolve.app.lint_revisions import Options
from evolve.lint.rules import ALL
from evolve.sql.steps import Recording

# A process of one thread, as the command is: a copy is made only of such.
BOTH = """
import sys
from datetime import date
from pathlib import Path
from evolve.app.judge_recordings import Ahead
from evolve.app.lint_revisions import Options, ask, lint
from evolve.lint.rules import ALL
from evolve.revisions.project import find_project

project = find_project(Path(sys.argv[1]))
options = Options(time_limit=1, downgrades=True, postgres_versions=(15, 18), sandbox="--sandbox" in sys.argv)
results, answers = Ahead.results, []

def once(self, *given):
    answers.append(results(self, *given))
    return answers[-1]

def report():
    return lint(project, ask(project, revisions="base:heads"), options, ALL, clock=lambda: date(2026, 6, 1))

Ahead.results = once
ahead = report()
Ahead.results = lambda *_: None
assert repr(ahead) == repr(report())
print([answer is not None for answer in answers])
"""


def used(project: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BOTH, project, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "import posix; posix._exit(0)",
        "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        "raise SystemExit(0)",
        "sa.inspect(op.get_bind()).has_table('table_x') and op.drop_table('table_x')",
        "op.get_bind().execute(sa.text('SELECT 1 FROM table_x')).scalar() or op.drop_table('table_x')",
    ],
)
def test_a_history_is_judged_the_same(tmp_path: Path, body: str) -> None:
    assert used(history(tmp_path / "project", body)) == "[True]"


@pytest.mark.skipif(sys.platform != "linux", reason="only its kernel can refuse system calls")
def test_one_that_is_read_in_the_sandbox_is_judged_the_same(tmp_path: Path) -> None:
    assert used(history(tmp_path / "project", "import posix; posix._exit(0)"), "--sandbox") == "[True]"


def history(project: Path, body: str) -> Path:
    """`body` in the middle, and in the last revision."""
    *_, last = write_history(project, 20)
    write_revision(project, "a" * 12, last, "op.create_table('table_x', sa.Column('id', sa.Integer()))")
    write_revision(project, "b" * 12, "a" * 12, body)
    write_revision(project, "c" * 12, "b" * 12, f"op.drop_table('table_x')\n    {body}")
    return project


def test_several_databases_are_judged_afterwards(tmp_path: Path) -> None:
    revisions = Revisions(tmp_path / "project", ini="databases = one, two\n")
    revisions.write(
        "first.py",
        "from alembic import op\nrevision = 'first'\ndown_revision = None\n"
        "def upgrade(engine_name):\n    globals()[f'upgrade_{engine_name}']()\n"
        "def upgrade_one():\n    op.execute('CREATE TABLE users (id bigint)')\n"
        "def upgrade_two():\n    op.execute('CREATE TABLE users (id bigint)')\n"
        "def downgrade(engine_name):\n    pass\n",
    )

    assert used(tmp_path / "project") == "[False]"


def test_other_recordings_than_those_judged_are_judged_again() -> None:
    given = Recording("a", (), Path("a.py"), ())
    ahead = Ahead({"a"}, Options(), ALL)
    ahead.take(given)

    assert ahead.results([given, Recording("b", ("a",), Path("b.py"), ())], {"a"}) is None
