"""Rows that cannot be written: found, set aside, counted, tried again."""

from __future__ import annotations

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.retry_rejects import list_rejects, retry_rejects
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode

pytestmark = pytest.mark.server

NAME = "numbers.n"
BAD = [3 * n for n in (7, 1111, 1112, 1113, 2500, 2999, 3000)]


def poisoned(url: str, rows: int = 3000, bad: list[int] = BAD) -> None:
    """`numbers`, of which the bad rows hold hits = -1: 1 / (hits + 1) fails."""
    numbers(url, rows)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET hits = -1 WHERE id = ANY (%s)", (bad,))


def rejected(url: str, name: str = NAME) -> list[int]:
    return sorted(int(each.key[0]) for each in list_rejects(url, name, None)[1])


@pytest.mark.parametrize("undo", ["on", "off"])
@pytest.mark.parametrize("workers", [1, 3])
def test_rows_that_fail_are_set_aside_and_all_others_written_once(
    database_url: str, undo: str, workers: int
) -> None:
    poisoned(database_url)
    outcome = fill(
        database_url,
        spec("numbers", "n", "n + 1 / (hits + 1)"),
        pace=Pace(largest=200, workers=workers),
        undo_journal_mode=JournalMode(undo),
    )
    assert (outcome.state, outcome.rejects, outcome.rows) == (State.DONE, len(BAD), 3000 - len(BAD))
    assert rejected(database_url) == BAD
    assert by_value(database_url) == {0: len(BAD), 1: 3000 - len(BAD)}
