"""A process that imports Alembic early reads what any other would, and never outlives whoever began it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.revision_files import Revisions, marks, sql_of

from evolve.app.lint_revisions import Options, Question, lint
from evolve.revisions.apart import Early
from evolve.revisions.cache.store import Store
from evolve.revisions.read import record
from evolve.revisions.select import Range
from evolve.sql.steps import Mark, Recording

CREATE = "op.create_table('a', sa.Column('id', sa.BigInteger(), primary_key=True))"
ASK = "if 'a' in sa.inspect(op.get_bind()).get_table_names(): op.drop_table('a')"


@pytest.fixture
def early(revisions: Revisions) -> Early:
    return Early(revisions.project, 10.0)


def recorded(revisions: Revisions, early: Early | None = None) -> list[Recording]:
    history = revisions.history
    return record(revisions.project, history.order(history.ancestors(history.heads)), early=early)


def children() -> list[int]:
    """Ids of processes that this one has started and not waited for."""
    return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def test_it_reads_as_any_other_process(revisions: Revisions, early: Early) -> None:
    revisions.add("a", CREATE)
    revisions.add("b", ASK)
    early.begin()

    found = recorded(revisions, early)

    assert found == recorded(revisions)


def test_another_goes_on_behind_one_that_it_cannot_read(revisions: Revisions, early: Early) -> None:
    revisions.add("a", "import os; os.kill(os.getpid(), 9)")
    revisions.add("b", CREATE)
    early.begin()

    found = recorded(revisions, early)

    assert found == recorded(revisions)


def test_it_begins_only_where_nobody_has_asked_before(
    revisions: Revisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revisions.add("a", CREATE)
    begun: list[Early] = []
    monkeypatch.setattr(Early, "begin", lambda self: begun.append(self))

    for _ in range(2):
        store = Store(tmp_path / "cache")
        lint(
            revisions.project,
            Question(Range("base:heads"), "all", together=False),
            Options(),
            [],
            store=store,
        )
        store.close()

    assert len(begun) == 1


@pytest.mark.parametrize("word", ["began", "recall"])
def test_a_revision_cannot_speak_for_one_that_was_read_before_it(revisions: Revisions, word: str) -> None:
    revisions.add("a", CREATE)
    revisions.add(
        "b",
        f"""
        import sys
        from evolve.revisions.apart import _send
        frame = sys._getframe()
        while "line" not in frame.f_locals:
            frame = frame.f_back
        line = frame.f_locals["line"]
        _send(line._says, ["{word}", 0])
        _send(line._says, ["learn", 0, '[[], [], [0, null]]', True, []])
        """,
    )

    first, second = recorded(revisions)

    assert (sql_of(first), first.remarks) == (sql_of(revisions.capture()[0]), ())
    assert marks(second) == {Mark.RAISED}


@pytest.mark.skipif(sys.platform != "linux", reason="it looks for children in /proc")
def test_one_that_is_of_no_use_is_ended(early: Early) -> None:
    before = children()
    early.begin()

    early.end()

    assert children() == before


@pytest.mark.skipif(sys.platform != "linux", reason="it looks for the process in /proc")
def test_it_ends_with_the_process_that_began_it(tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "from pathlib import Path\n"
        "from evolve.revisions import apart\n"
        "early = apart.Early(None, 10.0)\n"
        "early.begin()\n"
        "print(early._reader.child, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)

    assert _ends(child, within=10.0)


def _ends(child: int, within: float) -> bool:
    limit = time.monotonic() + within
    while time.monotonic() < limit:
        status = Path(f"/proc/{child}/stat")
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False
