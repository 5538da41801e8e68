"""No row is written a second time by a run that is gone on with, where its predicate does not tell those that were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_lead import Lead
from evolve.app.backfill_work import Pace
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.record import RunEnded
from evolve.backfill.runner import RejectsOverBudget
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.postgres import journal, undo_journal
from evolve.postgres.backfill_target import read_target
from evolve.postgres.connect import connect
from evolve.postgres.session import Session

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


def test_a_run_that_another_brought_to_its_end_is_done_already(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, spec("numbers", "n", "n + 1"))
    with lead_of(database_url) as lead:
        outcome = lead.forward()
    assert (outcome.state, outcome.already, outcome.good) == (State.DONE, True, True)
    assert by_value(database_url) == {1: 300}


def test_an_undo_that_another_brought_to_its_end_says_so(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, spec("numbers", "n", "n + 1"))
    quiet = Quiet()
    undo_backfill(database_url, "numbers.n", pace=Pace(), stop=quiet, watch=quiet)
    with lead_of(database_url) as lead, pytest.raises(RunEnded, match="is undone"):
        lead.backward()
    with connect(database_url) as connection:
        assert journal.named_run(connection, "numbers.n").lead is None


@contextmanager
def lead_of(url: str) -> Iterator[Lead]:
    """As another process has it, that looked at the run while that went on."""
    quiet = Quiet()
    with closing(Session(url, "evolve backfill numbers.n")) as session:
        record = replace(journal.named_run(session.current(), "numbers.n"), state=State.RUNNING)
        target = read_target(session.current(), record.spec)
        yield Lead(url, session, record, target, Pace(), quiet, quiet)
