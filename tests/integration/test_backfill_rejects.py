"""Rows that cannot be written: found, set aside, counted, tried again."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import replace

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.resume_backfill import resume_backfill
from evolve.app.retry_rejects import NoLastingKey, NotDoneYet, Retried, list_rejects, retry_rejects
from evolve.app.undo_backfill import undo_backfill, undo_conflicts
from evolve.backfill.runner import RejectsOverBudget
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.backfill.works import Delete, InsertSelect
from evolve.postgres.backfill_target import BadExpression
from evolve.sql.names import QualifiedName

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


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


KINDS = {
    "cast": ("note::integer", "UPDATE numbers SET note = CASE WHEN id % 300 = 0 THEN 'x' ELSE '1' END"),
    "check": ("id::int", "ALTER TABLE numbers ADD CHECK (n = 0 OR id % 300 <> 0)"),
    "trigger": (
        "1",
        "CREATE FUNCTION public.object() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN IF NEW.n = 1 AND NEW.id % 300 = 0 THEN RAISE 'not this one'; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER object BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION public.object()",
    ),
    "deferred foreign key": (
        "id::int",
        "CREATE TABLE others (n integer PRIMARY KEY); INSERT INTO others SELECT 0 UNION ALL"
        " SELECT id FROM numbers WHERE id % 300 <> 0; ALTER TABLE numbers ADD FOREIGN KEY (n)"
        " REFERENCES others DEFERRABLE INITIALLY DEFERRED",
    ),
    "deferred trigger": (
        "1",
        "CREATE FUNCTION public.object() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN IF NEW.n = 1 AND NEW.id % 300 = 0 THEN RAISE 'not this one'; END IF; RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER object AFTER UPDATE ON numbers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION public.object()",
    ),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("undo", ["on", "off"])
def test_whatever_refuses_a_row(database_url: str, kind: str, undo: str) -> None:
    expression, refusing = KINDS[kind]
    numbers(database_url, 1000)
    execute(database_url, refusing)
    outcome = fill(database_url, spec("numbers", "n", expression), undo_journal_mode=JournalMode(undo))
    assert (outcome.state, outcome.rejects, outcome.rows) == (State.DONE, 10, 990)
    assert rejected(database_url) == list(range(300, 3001, 300))


def test_of_rows_that_want_the_same_value_one_gets_it(database_url: str) -> None:
    numbers(database_url, 1000)
    execute(database_url, "CREATE UNIQUE INDEX ON numbers (n) WHERE n <> 0")
    outcome = fill(database_url, spec("numbers", "n", "CASE WHEN id % 300 = 0 THEN -7 ELSE id::int END"))
    assert (outcome.rejects, outcome.rows) == (9, 991)
    assert rejected(database_url) == list(range(600, 3001, 300))


def test_values_that_move_up_by_one_within_a_batch_are_written_last_first(database_url: str) -> None:
    numbers(database_url, 150)
    execute(database_url, "UPDATE numbers SET n = id / 3; CREATE UNIQUE INDEX ON numbers (n)")
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), pace=Pace(largest=1000))
    assert (outcome.state, outcome.rejects, outcome.rows) == (State.DONE, 0, 150)


def test_one_more_than_may_be_set_aside_stops_the_run_over_all_workers(database_url: str) -> None:
    poisoned(database_url)
    with pytest.raises(RejectsOverBudget, match="more than 5 rows"):
        fill(
            database_url,
            spec("numbers", "n", "n + 1 / (hits + 1)"),
            pace=Pace(largest=100, workers=3),
            max_rejects=5,
        )
    record, found = list_rejects(database_url, NAME, None)
    assert (record.state, record.rejects, len(found) <= 5) == (State.FAILED, len(found), True)
    quiet = Quiet()
    outcome = resume_backfill(
        database_url, NAME, pace=Pace(largest=100), stop=quiet, watch=quiet, max_rejects=7
    )
    assert outcome is not None
    assert (outcome.state, outcome.rejects) == (State.DONE, 7)
    assert rejected(database_url) == BAD


def test_where_no_row_can_be_written_it_does_not_begin(database_url: str) -> None:
    poisoned(database_url, 100, [3 * n for n in range(1, 101)])
    with pytest.raises(BadExpression, match="on every row that was tried"):
        fill(database_url, spec("numbers", "n", "n + 1 / (hits + 1)"))


def test_the_first_rows_may_all_be_bad(database_url: str) -> None:
    poisoned(database_url, 1000, [3 * n for n in range(1, 61)])
    quiet = Quiet()
    outcome = fill(database_url, spec("numbers", "n", "n + 1 / (hits + 1)"), quiet)
    assert (outcome.state, outcome.rejects) == (State.DONE, 60)
    assert "50 of the first 50 rows cannot be written" in quiet.said[0]


@pytest.mark.parametrize("undo", ["on", "off"])
def test_mended_rows_are_written_by_a_retry_and_undone_with_the_others(database_url: str, undo: str) -> None:
    poisoned(database_url)
    mode = JournalMode(undo)
    fill(database_url, spec("numbers", "n", "n + 1 / (hits + 1)"), undo_journal_mode=mode)
    execute(
        database_url,
        "UPDATE numbers SET hits = 0 WHERE id IN (21, 3333); DELETE FROM numbers WHERE id = 9000",
    )
    retried = retry(database_url)
    assert (retried.resolved, retried.outcome.rejects) == (3, 4)
    assert {each.attempts for each in retried.left} == {2}
    execute(database_url, "UPDATE numbers SET hits = 0 WHERE hits = -1")
    assert (retry(database_url).resolved, retry(database_url).resolved) == (4, 0)
    assert by_value(database_url) == {1: 2999}
    if mode is JournalMode.ON:
        quiet = Quiet()
        undone = undo_backfill(database_url, NAME, pace=Pace(workers=2), stop=quiet, watch=quiet)
        assert (undone.rows, undone.conflicts, by_value(database_url)) == (2999, 0, {0: 2999})


def test_a_row_that_was_mended_meanwhile_is_simply_written(database_url: str) -> None:
    poisoned(database_url, 1000, [1500, 1800])

    def mend(batch: int) -> None:
        if batch == 3:
            execute(
                database_url,
                "UPDATE numbers SET hits = 0 WHERE id = 1500; DELETE FROM numbers WHERE id = 1800",
            )

    outcome = fill(database_url, spec("numbers", "n", "n + 1 / (hits + 1)"), Quiet(between=mend))
    assert (outcome.state, outcome.rejects, by_value(database_url)) == (State.DONE, 0, {1: 999})


@pytest.mark.parametrize("undo", ["on", "off"])
def test_writers_that_break_mend_and_delete_rows_meanwhile(database_url: str, undo: str) -> None:
    """Every row ends written once or set aside, whatever it holds at the end."""
    poisoned(database_url, 2000, [3 * n for n in range(1, 2001, 97)])
    stop = threading.Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not stop.is_set():
                key = 3 * chance.randrange(1, 2000)
                if chance.random() < 0.1:
                    connection.execute("DELETE FROM numbers WHERE id = %s", (key,))
                else:
                    hits = chance.choice((-1, 0, 0, 0, 0, 0, 0, 0))
                    connection.execute("UPDATE numbers SET hits = %s WHERE id = %s", (hits, key))

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        outcome = fill(
            database_url,
            # 1 unless it is bad just now.
            spec("numbers", "n", "n + 1 / (hits + 1)"),
            pace=Pace(largest=50, workers=2),
            undo_journal_mode=JournalMode(undo),
            max_rejects=2000,
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert outcome.state is State.DONE
    with psycopg.connect(database_url) as connection:
        left = connection.execute("SELECT id FROM numbers WHERE n = 0 ORDER BY id").fetchall()
        twice = connection.execute("SELECT count(*) FROM numbers WHERE n > 1").fetchone()
    assert {key for (key,) in left} <= set(rejected(database_url))
    assert twice == (0,)


def test_a_predicate_that_fails_on_the_same_rows_counts_them_as_missing(database_url: str) -> None:
    poisoned(database_url, 1000, [1500, 1800])
    outcome = fill(database_url, spec("numbers", "n", "1 / (hits + 1)"))
    assert outcome.verdict is not None
    assert (outcome.verdict.misses, outcome.verdict.sample) == (2, (("1500",), ("1800",)))
    assert outcome.only_rejects
    execute(database_url, "UPDATE numbers SET hits = 0")
    retried = retry(database_url)
    assert retried.outcome.good
    assert retried.outcome.verdict is not None


def test_what_undo_left_alone_is_no_reject(database_url: str) -> None:
    poisoned(database_url, 1000, [1500, 1800])
    fill(database_url, spec("numbers", "n", "n + 1 / (hits + 1)"))
    execute(database_url, "UPDATE numbers SET n = 9 WHERE id = 300")
    quiet = Quiet()
    outcome = undo_backfill(database_url, NAME, pace=Pace(), stop=quiet, watch=quiet)
    assert (outcome.conflicts, outcome.rejects, outcome.rows) == (1, 0, 997)
    assert undo_conflicts(database_url, NAME) == [(("300",), "changed since")]
    assert rejected(database_url) == [1500, 1800]


def test_only_a_run_that_is_done_is_retried(database_url: str) -> None:
    poisoned(database_url)
    with pytest.raises(RejectsOverBudget):
        fill(database_url, spec("numbers", "n", "n + 1 / (hits + 1)"), max_rejects=5)
    with pytest.raises(NotDoneYet, match="evolve backfill resume"):
        retry(database_url)


def retry(url: str) -> Retried:
    quiet = Quiet()
    return retry_rejects(url, NAME, pace=Pace(largest=100), stop=quiet, watch=quiet)


@pytest.mark.parametrize(
    ("sqlstate", "halved"),
    [
        ("40P01", True),
        ("40001", True),
        ("55P03", True),
        ("57014", True),
        ("53100", False),  # disk full
        ("53200", True),  # out of memory
        ("53400", True),
        ("72000", True),
        ("57P03", False),
        ("25006", False),
        ("08006", False),
    ],
)
def test_what_goes_away_by_itself_sets_no_row_aside(database_url: str, sqlstate: str, halved: bool) -> None:
    numbers(database_url, 300)
    execute(
        database_url,
        "CREATE SEQUENCE public.tries; CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN IF NEW.id = 450 AND nextval('public.tries') BETWEEN 2 AND 3 THEN"
        f" RAISE 'it is in a bad way' USING ERRCODE = '{sqlstate}'; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER fail BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION public.fail();"
        "SELECT nextval('public.tries')",
    )
    quiet = Quiet()
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), quiet)
    assert (outcome.state, outcome.rejects, by_value(database_url)) == (State.DONE, 0, {1: 300})
    sizes = [
        int(size)
        for line in quiet.said
        for size in re.findall(r"bad way; next try in .* with (\d+) rows", line)
    ]
    assert sizes
    assert not halved or max(sizes) <= 50


@pytest.mark.parametrize("workers", [1, 3])
def test_seven_of_a_hundred_thousand(database_url: str, workers: int) -> None:
    bad = [3 * n for n in (1, 12_345, 12_346, 50_000, 50_001, 77_777, 100_000)]
    poisoned(database_url, 100_000, bad)
    outcome = fill(database_url, spec("numbers", "n", "n + 1 / (hits + 1)"), pace=Pace(workers=workers))
    assert (outcome.state, outcome.rejects, outcome.rows) == (State.DONE, 7, 99_993)
    assert rejected(database_url) == bad
    assert by_value(database_url) == {0: 7, 1: 99_993}


def test_on_partitions_newest_first(database_url: str) -> None:
    execute(
        database_url,
        "CREATE TABLE numbers (id bigint PRIMARY KEY, n integer NOT NULL, hits integer NOT NULL)"
        " PARTITION BY RANGE (id);"
        "CREATE TABLE low PARTITION OF numbers FOR VALUES FROM (0) TO (500);"
        "CREATE TABLE high PARTITION OF numbers FOR VALUES FROM (500) TO (1000);"
        "INSERT INTO numbers SELECT g, 0, 0 FROM generate_series(1, 999) g;"
        "UPDATE numbers SET hits = -1 WHERE id IN (1, 499, 500, 999)",
    )
    outcome = fill(database_url, spec("numbers", "n", "n + 1 / (hits + 1)"), newest_first=True)
    assert (outcome.state, outcome.rejects, outcome.rows) == (State.DONE, 4, 995)
    assert rejected(database_url) == [1, 499, 500, 999]
    execute(database_url, "UPDATE numbers SET hits = 0 WHERE id > 1")
    assert (retry(database_url).resolved, by_value(database_url)) == (3, {0: 1, 1: 998})


def test_rows_without_a_key_are_met_again_in_a_new_walk(database_url: str) -> None:
    poisoned(database_url, 1000, [1500, 1800])
    execute(database_url, "ALTER TABLE numbers DROP CONSTRAINT numbers_pkey")
    work = spec("numbers", "n", "1 / (hits + 1)", where="n = 0", key=("ctid",))
    outcome = fill(database_url, work)
    assert (outcome.state, outcome.rejects, outcome.only_rejects) == (State.DONE, 2, True)
    with pytest.raises(NoLastingKey, match="--restart"):
        retry(database_url)
    execute(database_url, "UPDATE numbers SET hits = 0")
    assert fill(database_url, work, restart=True).good


def test_rows_that_are_held_by_others_are_not_deleted(database_url: str) -> None:
    numbers(database_url, 300)
    execute(
        database_url,
        "CREATE TABLE children (id bigint REFERENCES numbers); INSERT INTO children VALUES (300), (600);"
        "CREATE INDEX ON children (id)",
    )
    work = Spec(NAME, QualifiedName("numbers"), (), where="id > 150", work=Delete())
    outcome = fill(database_url, work)
    assert (outcome.state, outcome.rejects, outcome.rows) == (State.DONE, 2, 248)
    assert rejected(database_url) == [300, 600]
    execute(database_url, "TRUNCATE children")
    retried = retry(database_url)
    assert (retried.resolved, retried.outcome.good, by_value(database_url)) == (2, True, {0: 50})


def test_rows_that_are_there_already_are_not_copied(database_url: str) -> None:
    numbers(database_url, 300)
    execute(
        database_url,
        "CREATE TABLE copies (id bigint PRIMARY KEY, n integer); INSERT INTO copies VALUES (300, 7), (600, 7)",
    )
    columns = (("id", "id"), ("n", "n + 1"))
    work = Spec(NAME, QualifiedName("numbers"), columns, work=InsertSelect(QualifiedName("copies")))
    assert (fill(database_url, work).rejects, rejected(database_url)) == (2, [300, 600])
    execute(database_url, "DELETE FROM copies WHERE n = 7")
    assert retry(database_url).resolved == 2
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*), sum(n) FROM copies").fetchone() == (300, 300)


def test_a_row_that_alone_takes_too_long_is_set_aside(database_url: str) -> None:
    numbers(database_url, 100)
    execute(
        database_url,
        "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$;"
        "CREATE TRIGGER dawdle BEFORE UPDATE ON numbers FOR EACH ROW WHEN (OLD.id = 240)"
        " EXECUTE FUNCTION public.dawdle()",
    )
    pace = Pace(largest=2, timeouts=replace(Pace().timeouts, statement=200))
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), pace=pace)
    assert (outcome.state, outcome.rejects, by_value(database_url)) == (State.DONE, 1, {0: 1, 1: 99})
    assert rejected(database_url) == [240]
