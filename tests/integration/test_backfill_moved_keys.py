"""Rows whose keys others change while a run goes on: what was missed is found, and what cannot be is said before."""

from __future__ import annotations

import psycopg
import pytest
from support.backfill import Quiet, fill, numbers, spec

from evolve.app.backfill_work import Outcome, Pace
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.status import State

pytestmark = pytest.mark.server


def moving(url: str, text: str, at: int = 5, **options: object) -> tuple[Outcome, Quiet]:
    """Fill 1,000 rows of which others change keys before a batch."""
    numbers(url, 1000)

    def move(batches: int) -> None:
        if batches == at:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(text.encode())

    quiet = Quiet(between=move)
    pace = Pace(largest=100)
    return fill(url, spec("numbers", "n", "hits + 1", **options), quiet, pace=pace), quiet


@pytest.mark.parametrize("where", [None, "n = 0"])
def test_a_row_that_moves_behind_the_cursor_is_found_and_written_by_what_is_advised(
    database_url: str, where: str | None
) -> None:
    outcome, _ = moving(database_url, "UPDATE numbers SET id = -id WHERE id > 2990", where=where)
    assert outcome.verdict is not None
    assert (outcome.good, outcome.verdict.misses) == (False, 4)
    assert outcome.verdict.sample[0] == ("-3000",)
    assert not outcome.doubles  # so that a restart is advised
    again = fill(database_url, spec("numbers", "n", "hits + 1", where=where), restart=True)
    assert again.good


def test_a_row_that_moves_ahead_of_the_cursor_is_not_written_twice_where_a_predicate_tells(
    database_url: str,
) -> None:
    outcome, quiet = moving(
        database_url, "UPDATE numbers SET id = id + 2990 WHERE id < 10 AND n > 0", where="n = 0"
    )
    assert (outcome.good, outcome.rows) == (True, 1000)
    assert not any("cannot be verified" in line for line in quiet.said)


def test_where_nothing_can_tell_it_is_said_before_the_first_row_is_written(database_url: str) -> None:
    numbers(database_url, 300)
    before: list[list[str]] = []
    quiet = Quiet(between=lambda batches: before.append(list(quiet.said)))
    fill(database_url, spec("numbers", "n", "n + 1"), quiet)
    assert any(
        "its expression reads the column it writes; a row whose key (id) is changed meanwhile" in line
        for line in before[0]
    )


def test_undo_lists_a_row_whose_key_was_changed_since(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, spec("numbers", "n", "n + 1"))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET id = -id WHERE id = 3")
    back = undo_backfill(database_url, "numbers.n", pace=Pace(), stop=Quiet(), watch=Quiet())
    assert (back.state, back.rows, back.conflicts, back.good) == (State.UNDONE, 299, 1, False)
