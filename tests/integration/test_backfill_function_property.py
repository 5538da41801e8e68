"""Whatever others write between reading and writing, in whatever mode: each row ends up with what its source says."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import row_functions
from support.backfill import Quiet, fill
from support.row_writers import documents, wrong
from support.servers import MakeDatabase

from evolve.app.backfill_work import Pace
from evolve.backfill.calling import Row
from evolve.backfill.shapes import Shape
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.undo import JournalMode
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ROWS = 40
ACTS = {
    "source": "UPDATE documents SET source = source || '!', label = '<' || source || '!>' WHERE id = %s",
    "hit": "UPDATE documents SET hits = hits + 1 WHERE id = %s",
    "delete": "DELETE FROM documents WHERE id = %s",
    "move": "UPDATE documents SET id = id + 3, label = '<' || source || '>' WHERE id = %s",
    "there and back": "UPDATE documents SET source = source || '!' WHERE id = %s; "
    "UPDATE documents SET source = rtrim(source, '!') WHERE id = %s",
}
keys = st.integers(1, ROWS).map(lambda place: place * 10)
acts = st.lists(st.lists(st.tuples(st.sampled_from(sorted(ACTS)), keys), max_size=6), max_size=5)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acts=acts,
    mode=st.sampled_from([Mode.GUARDED, Mode.OUTBOX]),
    undo=st.sampled_from([JournalMode.ON, JournalMode.OFF]),
    slices=st.sampled_from([1, 3]),
    batch=st.integers(3, 50),
)
def test_each_row_ends_up_right(
    make_database: MakeDatabase,
    acts: list[list[tuple[str, int]]],
    mode: Mode,
    undo: JournalMode,
    slices: int,
    batch: int,
) -> None:
    url = make_database()
    documents(url, ROWS)
    left = list(acts)
    with psycopg.connect(url, autocommit=True) as others:

        def act(_: list[Row]) -> None:
            for what, key in left.pop(0) if left else ():
                for statement in ACTS[what].split("; "):
                    others.execute(statement.encode(), (key,))

        row_functions.before[:] = [act]
        try:
            work = Transform("support.row_functions:labelled", ("source",), ("label",), mode)
            pace = Pace(largest=batch, shapes=(Shape(slices, touch=False),))
            spec = Spec("documents.label", QualifiedName("documents"), work=work)
            journal = JournalMode.OFF if mode is Mode.OUTBOX else undo
            fill(url, spec, Quiet(), pace=pace, undo_journal_mode=journal)
        finally:
            row_functions.before.clear()
    assert wrong(url) == []
