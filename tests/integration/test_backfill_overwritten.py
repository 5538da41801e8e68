"""Triggers that leave other values than rows are given: with functions, by places, in an undo."""

from __future__ import annotations

import threading
from dataclasses import replace

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec
from support.deployed import until

from evolve.app.backfill_work import Pace
from evolve.app.undo_backfill import list_unrestored, undo_backfill
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.undo import JournalMode
from evolve.errors import Misuse
from evolve.postgres.function_trial import BadFunction
from evolve.postgres.kept import ValueOverwritten
from evolve.postgres.trying import Overwritten
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

FUNCTION = (
    "CREATE OR REPLACE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN IF NEW.n IS NOT NULL THEN NEW.n := 7; END IF; RETURN NEW; END';"
)
HARMLESS = (
    "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM NEW.n; RETURN NEW; END';"
)
TRIGGER = "CREATE TRIGGER f BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION public.f();"


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def calling(function: str, mode: Mode) -> Spec:
    work = Transform(f"support.row_functions:{function}", ("n",), ("n",), mode)
    return Spec("numbers.n", QualifiedName("numbers"), work=work)


@pytest.mark.parametrize("mode", [Mode.GUARDED, Mode.LOCKED])
def test_what_a_function_gives_is_compared_with_what_is_left(database_url: str, mode: Mode) -> None:
    numbers(database_url, 300)
    execute(database_url, HARMLESS + TRIGGER)
    quiet = Quiet(between=lambda batches: execute(database_url, FUNCTION) if batches == 1 else None)
    with pytest.raises(ValueOverwritten, match=r'"numbers\.n" does not keep what it is given'):
        fill(database_url, calling("one_more", mode), quiet)
    assert set(by_value(database_url)) == {0, 1}


@pytest.mark.parametrize("mode", [Mode.GUARDED, Mode.LOCKED])
def test_a_trigger_that_overwrites_what_a_function_gives_is_found_by_trying(
    database_url: str, mode: Mode
) -> None:
    numbers(database_url, 300)
    execute(database_url, FUNCTION + TRIGGER)
    with pytest.raises(Overwritten, match="triggers write it, too: f"):
        fill(database_url, calling("one_more", mode))
    assert by_value(database_url) == {0: 300}


def test_a_value_that_its_column_rounds_is_kept_all_the_same(database_url: str) -> None:
    execute(database_url, "CREATE TABLE numbers (id int PRIMARY KEY, n numeric(9, 2) NOT NULL)")
    execute(database_url, "INSERT INTO numbers SELECT g, 0 FROM generate_series(1, 100) g")
    execute(database_url, HARMLESS + TRIGGER)
    work = Transform("support.row_functions:one_more_and_a_third", ("n",), ("n",))
    assert fill(database_url, Spec("numbers.n", QualifiedName("numbers"), work=work)).good


def test_a_function_that_fails_on_every_row_is_refused_before_the_start(database_url: str) -> None:
    numbers(database_url, 300)
    with pytest.raises(BadFunction, match="so does every row that was tried") as refused:
        fill(database_url, calling("never", Mode.GUARDED), max_rejects=1_000_000)
    assert isinstance(refused.value, Misuse)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regnamespace('evolve')").fetchone() == (None,)


def test_rows_that_are_found_by_their_places_are_compared_too(database_url: str) -> None:
    execute(
        database_url,
        "CREATE TABLE numbers (id int, n int); INSERT INTO numbers SELECT g FROM generate_series(1, 500) g;"
        + HARMLESS
        + TRIGGER,
    )
    by_place = spec("numbers", "n", "id", where="n IS NULL", key=("ctid",))
    quiet = Quiet(between=lambda batches: execute(database_url, FUNCTION) if batches == 1 else None)
    with pytest.raises(ValueOverwritten):
        fill(database_url, by_place, quiet)
    execute(database_url, "DROP TRIGGER f ON numbers")
    assert fill(database_url, by_place).good
    execute(database_url, "UPDATE numbers SET n = NULL;" + TRIGGER)
    with pytest.raises(Overwritten):
        fill(database_url, by_place, restart=True)


@pytest.mark.parametrize("undo", ["on", "off"])
def test_a_function_replaced_while_a_batch_waits_for_a_row_is_noticed_by_that_batch(
    database_url: str, undo: str
) -> None:
    """The batch has its snapshot already, in which the trigger is harmless."""
    numbers(database_url, 1000)
    execute(database_url, HARMLESS + TRIGGER)
    threads: list[threading.Thread] = []
    with psycopg.connect(database_url) as holder:

        def replace_function() -> None:
            with psycopg.connect(database_url, autocommit=True) as connection:
                waits = (
                    "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database()"
                )
                until(lambda: connection.execute(waits).fetchone() == (True,))
                connection.execute(FUNCTION.encode())
            holder.commit()

        def between(batches: int) -> None:
            if batches == 2:
                holder.execute("SELECT FROM numbers WHERE n = 0 ORDER BY id LIMIT 1 FOR UPDATE")
                threads.append(threading.Thread(target=replace_function))
                threads[0].start()

        pace = Pace(largest=100, timeouts=replace(Pace().timeouts, lock=20_000, statement=30_000))
        with pytest.raises(ValueOverwritten):
            fill(
                database_url,
                spec("numbers", "n", "n + 1"),
                Quiet(between=between),
                pace=pace,
                undo_journal_mode=JournalMode(undo),
            )
        for thread in threads:
            thread.join()
    assert set(by_value(database_url)) == {0, 1}


# undo


def undo(url: str, quiet: Quiet | None = None, *, pace: Pace | None = None):
    quiet = quiet or Quiet()
    return undo_backfill(url, "numbers.n", pace=pace or Pace(largest=100), stop=quiet, watch=quiet)


def test_a_trigger_that_comes_up_on_a_partition_gives_no_old_value_away(database_url: str) -> None:
    execute(
        database_url,
        "CREATE TABLE numbers (id bigint PRIMARY KEY, n integer NOT NULL) PARTITION BY RANGE (id);"
        "CREATE TABLE low PARTITION OF numbers FOR VALUES FROM (0) TO (20);"
        "CREATE TABLE high PARTITION OF numbers FOR VALUES FROM (20) TO (1000);"
        "INSERT INTO numbers SELECT g, 0 FROM generate_series(0, 599) g",
    )
    fill(database_url, spec("numbers", "n", "n + 1"))
    made = FUNCTION + TRIGGER.replace("numbers", "high").replace(
        "ROW EXECUTE", "ROW WHEN (OLD.id < 40) EXECUTE"
    )
    outcome = undo(database_url, Quiet(between=lambda b: execute(database_url, made) if b == 1 else None))
    values = by_value(database_url)
    assert 7 not in values
    assert (outcome.good, outcome.rejects, values[1]) == (False, 20, 20)
    execute(database_url, "DROP TRIGGER f ON high")
    assert (undo(database_url).state, by_value(database_url)) == (State.UNDONE, {0: 600})


def test_a_row_that_alone_takes_too_long_is_set_aside_and_tried_again(database_url: str) -> None:
    numbers(database_url, 60)
    fill(database_url, spec("numbers", "n", "n + 1"))
    execute(
        database_url,
        "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$;"
        "CREATE TRIGGER dawdle BEFORE UPDATE ON numbers FOR EACH ROW WHEN (OLD.id = 99)"
        " EXECUTE FUNCTION public.dawdle()",
    )
    quick = Pace(largest=2, timeouts=replace(Pace().timeouts, statement=200))
    outcome = undo(database_url, pace=quick)
    assert (outcome.state, outcome.rejects, by_value(database_url)) == (State.UNDONE, 1, {0: 59, 1: 1})
    assert [each.key for each in list_unrestored(database_url, "numbers.n", None)] == [("99",)]
    execute(database_url, "DROP TRIGGER dawdle ON numbers")
    assert (undo(database_url).good, by_value(database_url)) == (True, {0: 60})
