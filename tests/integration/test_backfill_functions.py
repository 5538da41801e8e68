"""Backfills by a Python function: guarded, locked, asynchronous, with objects, under writers, and with bad functions."""

from __future__ import annotations

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers

from evolve.app.backfill_work import Pace
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.undo import JournalMode
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server


def by(function: str, **more: object) -> Spec:
    """Rows of `numbers`, their n."""
    work = Transform(f"support.row_functions:{function}", ("n",), ("n",), **more)  # type: ignore[arg-type]
    return Spec("numbers.n", QualifiedName("numbers"), work=work)


@pytest.mark.parametrize("mode", [Mode.GUARDED, Mode.LOCKED])
@pytest.mark.parametrize("undo", ["on", "off"])
@pytest.mark.parametrize("workers", [1, 3])
def test_each_row_is_given_to_the_function_once(
    database_url: str, mode: Mode, undo: str, workers: int
) -> None:
    numbers(database_url, 2000)
    outcome = fill(
        database_url,
        by("one_more", mode=mode),
        pace=Pace(largest=100, workers=workers),
        undo_journal_mode=JournalMode(undo),
    )
    assert (outcome.state, outcome.rows) == (State.DONE, 2000)
    assert by_value(database_url) == {1: 2000}
