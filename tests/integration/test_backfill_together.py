"""Backfills that write the same column at once, and what may be done with a run once its rows were written."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.forget_backfill import forget_backfill
from evolve.app.pause_backfill import HalfUndone, cancel_backfill, pause_backfill
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.forgetting import StillGoesOn
from evolve.backfill.record import RunEnded, RunRecord, TargetChanged, WritesTheSame
from evolve.backfill.status import State
from evolve.postgres import journal
from evolve.postgres.connect import connect

pytestmark = pytest.mark.server

FIRST = spec("numbers", "n", "n + 1")
OTHER = replace(FIRST, name="other")


def record(url: str, name: str) -> RunRecord:
    with connect(url, autocommit=True) as connection:
        return journal.named_run(connection, name)


def stopped(url: str) -> None:
    """A table with a run that was stopped half-way."""
    numbers(url, 1000)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches > 3
    assert fill(url, FIRST, quiet).state is State.PAUSED


def undo(url: str, name: str, quiet: Quiet | None = None) -> State:
    return undo_backfill(
        url, name, pace=Pace(largest=100), stop=quiet or Quiet(), watch=quiet or Quiet()
    ).state


def half_undone(url: str) -> None:
    numbers(url, 1000)
    fill(url, FIRST)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches > 3
    assert undo(url, FIRST.name, quiet) is State.UNDOING


# at once


def test_a_second_one_of_the_same_column_is_refused_while_the_first_goes_on(database_url: str) -> None:
    numbers(database_url, 1000)
    refused: list[str] = []

    def meddle(batches: int) -> None:
        if batches == 2:
            with pytest.raises(WritesTheSame, match=r'"numbers\.n" writes "n" of "numbers" as well') as error:
                fill(database_url, OTHER)
            refused.append(error.value.fix or "")

    fill(database_url, FIRST, Quiet(between=meddle))
    assert (len(refused), by_value(database_url)) == (1, {1: 1000})
    assert "evolve backfill cancel numbers.n" in refused[0]


def test_one_that_was_ended_is_in_nobody_s_way(database_url: str) -> None:
    stopped(database_url)
    with pytest.raises(WritesTheSame):
        fill(database_url, OTHER)
    cancel_backfill(database_url, FIRST.name)
    assert fill(database_url, OTHER).state is State.DONE


def test_one_after_the_other_may_write_what_the_first_has_written(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, FIRST)
    assert fill(database_url, OTHER, after=(FIRST.name,)).state is State.DONE
    assert by_value(database_url) == {2: 300}


def test_another_column_is_nobody_s_business(database_url: str) -> None:
    stopped(database_url)
    assert fill(database_url, spec("numbers", "hits", "hits + 1")).state is State.DONE


def test_a_partition_and_its_table_have_the_same_rows(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);"
            "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (1000);"
            "CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (1000) TO (2000);"
            "INSERT INTO t SELECT g, 0 FROM generate_series(1, 1500) g"
        )
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches > 3
    fill(database_url, spec("t_1", "n", "1"), quiet)
    with pytest.raises(WritesTheSame, match=r'\(as "t_1"\)'):
        fill(database_url, spec("t", "n", "2"))
    assert fill(database_url, spec("t_2", "n", "2")).state is State.DONE


def test_no_undo_begins_beside_one_that_goes_on(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, FIRST)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches > 3
    fill(database_url, OTHER, quiet)
    with pytest.raises(WritesTheSame, match='"other"'):
        undo(database_url, FIRST.name)
    assert record(database_url, FIRST.name).state is State.DONE


def test_none_begins_while_rejects_are_tried_again(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, FIRST)
    with connect(database_url, autocommit=True) as connection:
        run = journal.named_run(connection, FIRST.name).run_id
        assert journal.take_lead(connection, run, "me@here#1", 60)  # as `retry-rejects` does
        with pytest.raises(WritesTheSame, match="and tries its rejects again") as refused:
            fill(database_url, OTHER)
    assert refused.value.fix == "let it end: evolve backfill status numbers.n"


def test_none_begins_beside_an_undo(database_url: str) -> None:
    half_undone(database_url)
    with pytest.raises(WritesTheSame, match="undo interrupted") as refused:
        fill(database_url, OTHER)
    assert refused.value.fix == "finish it: evolve backfill undo numbers.n"


# an undo that stands still


def test_an_undo_cannot_be_cancelled_and_says_what_it_can(database_url: str) -> None:
    half_undone(database_url)
    with pytest.raises(HalfUndone, match=r"evolve backfill undo numbers\.n, which goes on where it stands"):
        cancel_backfill(database_url, FIRST.name)
    assert pause_backfill(database_url, FIRST.name).state is State.UNDOING
    assert (undo(database_url, FIRST.name), by_value(database_url)) == (State.UNDONE, {0: 1000})


def test_an_undo_that_goes_on_cannot_be_cancelled_and_comes_to_its_end(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, FIRST)
    refused: list[str] = []

    def meddle(batches: int) -> None:
        if batches == 1:
            with pytest.raises(HalfUndone) as error:
                cancel_backfill(database_url, FIRST.name)
            refused.append(error.value.fix or "")

    assert undo(database_url, FIRST.name, Quiet(between=meddle)) is State.UNDONE
    assert "evolve backfill pause numbers.n" in refused[0]


def test_an_undo_that_can_never_end_is_given_up_with_its_old_values(database_url: str) -> None:
    half_undone(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers DROP n")
    with pytest.raises(TargetChanged):
        undo(database_url, FIRST.name)
    with pytest.raises(StillGoesOn, match=r"forget numbers\.n --force"):
        forget_backfill(database_url, FIRST.name, force=False, dry_run=False)
    forget_backfill(database_url, FIRST.name, force=True, dry_run=False)
    assert record(database_url, FIRST.name).state is State.CANCELLED


@pytest.mark.parametrize("half", [False, True])
def test_a_column_that_was_made_again_does_not_swallow_old_values(database_url: str, half: bool) -> None:
    if half:
        half_undone(database_url)
    else:
        numbers(database_url, 1000)
        fill(database_url, FIRST)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers DROP n; ALTER TABLE numbers ADD n integer NOT NULL DEFAULT 7")
        with pytest.raises(TargetChanged, match='column "n" was dropped and made again') as refused:
            undo(database_url, FIRST.name)
        kept = connection.execute("SELECT to_regclass('evolve.backfill_undo_1') IS NOT NULL").fetchone()
    assert (kept, by_value(database_url)) == ((True,), {7: 1000})
    assert "evolve.backfill_undo_1" in str(refused.value)


def test_a_column_that_is_made_again_under_an_undo_stops_it(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, FIRST)

    def remake(batches: int) -> None:
        if batches == 2:
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(
                    "ALTER TABLE numbers DROP n; ALTER TABLE numbers ADD n integer NOT NULL DEFAULT 7"
                )

    with pytest.raises(Exception, match="was dropped and made again"):
        undo(database_url, FIRST.name, Quiet(between=remake))
    assert by_value(database_url) == {7: 1000}


# advice


def test_no_advice_leads_to_a_restart_that_writes_rows_twice(database_url: str) -> None:
    stopped(database_url)
    cancel_backfill(database_url, FIRST.name)
    with pytest.raises(RunEnded) as refused:
        fill(database_url, FIRST)
    assert refused.value.fix == "give its rows their old values first: evolve backfill undo numbers.n"
    undo(database_url, FIRST.name)
    with pytest.raises(RunEnded) as refused:
        fill(database_url, FIRST)
    assert refused.value.fix == "start it over: evolve backfill run … --restart"
    fill(database_url, FIRST, restart=True)
    assert by_value(database_url) == {1: 1000}


def test_rows_that_an_undo_left_alone_are_not_led_to_a_second_write(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, FIRST)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET n = 5 WHERE id = 3")
    undo(database_url, FIRST.name)
    with pytest.raises(RunEnded) as refused:
        fill(database_url, FIRST)
    assert "--restart" not in (refused.value.fix or "")
