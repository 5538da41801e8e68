"""No row is written a second time by a run that is gone on with, where its predicate does not tell those that were."""

from __future__ import annotations

import psycopg
import pytest
from support.backfill import by_value, fill, numbers, spec

from evolve.backfill.runner import RejectsOverBudget
from evolve.backfill.spec import Spec
from evolve.postgres import journal, undo_journal
from evolve.postgres.connect import connect

pytestmark = pytest.mark.server


def failed_half_way(url: str, work: Spec) -> None:
    """A run that stopped at a row behind the middle, and that row mended."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers ADD CHECK (note <> 'poison' OR n = 0 AND hits = 0)")
        connection.execute("UPDATE numbers SET note = 'poison' WHERE id = 1800")
        with pytest.raises(RejectsOverBudget):
            fill(url, work, max_rejects=0)
        connection.execute("UPDATE numbers SET note = 'mended' WHERE id = 1800")


def test_a_predicate_that_stays_true_lets_no_row_be_written_twice(database_url: str) -> None:
    numbers(database_url, 1000)
    work = spec("numbers", "n", "n + 1", where="hits = 0")
    failed_half_way(database_url, work)
    outcome = fill(database_url, work)
    assert by_value(database_url) == {1: 1000}
    assert outcome.verdict is not None  # the predicate still finds them all, and the run says so
    assert outcome.verdict.misses == 1000


def test_old_values_are_kept_for_the_whole_of_a_run_that_was_gone_on_with(database_url: str) -> None:
    numbers(database_url, 1000)
    work = spec("numbers", "n", "7", where="n = 0")
    failed_half_way(database_url, work)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO numbers VALUES (999999, 0, 0, 'late')")
    fill(database_url, work)
    with connect(database_url) as connection:
        run = journal.named_run(connection, "numbers.n")
        assert undo_journal.size(connection, run.run_id) == 1000
