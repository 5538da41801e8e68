"""What is done to a table while it is walked: the run goes on where that is harmless and stops where it is not."""

from __future__ import annotations

import threading

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.resume_backfill import resume_backfill
from evolve.backfill.record import TargetChanged
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.postgres import journal
from evolve.postgres.connect import connect
from evolve.postgres.drift import TableAltered
from evolve.postgres.kept import ValueOverwritten
from evolve.postgres.plan_check import PlanIgnoresKey
from evolve.postgres.trying import Overwritten

pytestmark = pytest.mark.server


class Meanwhile(Quiet):
    """Runs SQL once, before the third batch."""

    def __init__(self, url: str, text: str) -> None:
        super().__init__(between=self._act)
        self._url = url
        self._text = text

    def _act(self, batches: int) -> None:
        if batches == 2:
            with psycopg.connect(self._url, autocommit=True) as connection:
                connection.execute(self._text.encode())


@pytest.mark.parametrize("undo", ["on", "off"])
@pytest.mark.parametrize(
    "text",
    [
        "CREATE INDEX ON numbers (hits)",
        "CREATE UNIQUE INDEX ON numbers (id, note)",
        "DROP INDEX numbers_note_idx",
        "ALTER TABLE numbers ADD fresh text DEFAULT 'x'",
        "ALTER TABLE numbers DROP hits",
        "ALTER TABLE numbers ALTER note TYPE varchar(90)",
        "ALTER TABLE numbers RENAME note TO remark",
        "CREATE UNIQUE INDEX again ON numbers (id); ALTER TABLE numbers DROP CONSTRAINT numbers_pkey",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER f BEFORE UPDATE OF note ON numbers FOR EACH ROW EXECUTE FUNCTION f()",
        "VACUUM FULL numbers",
    ],
)
def test_it_goes_on(database_url: str, text: str, undo: str) -> None:
    numbers(database_url, 1000)
    quiet = Meanwhile(database_url, "VACUUM FULL numbers" if text.startswith("VACUUM") else text)
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), quiet, undo_journal_mode=JournalMode(undo))
    assert (outcome.state, by_value(database_url)) == (State.DONE, {1: 1000})


@pytest.mark.parametrize("undo", ["on", "off"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ALTER TABLE numbers DROP n", 'no column "n"'),
        ("ALTER TABLE numbers RENAME n TO m", 'no column "n"'),
        ("ALTER TABLE numbers ALTER n TYPE bigint", "was of type integer and is of type bigint"),
        (
            "ALTER TABLE numbers DROP n; ALTER TABLE numbers ADD n int GENERATED ALWAYS AS (hits) STORED",
            "generates it",
        ),
        ("ALTER TABLE numbers ALTER id TYPE numeric", "another type or order"),
        ("ALTER TABLE numbers DROP CONSTRAINT numbers_pkey", "no unique index has exactly these columns"),
        ("ALTER TABLE numbers RENAME TO elsewhere", 'no table "numbers"'),
        (
            "ALTER TABLE numbers RENAME TO was; CREATE TABLE numbers (LIKE was INCLUDING ALL)",
            "taken its name",
        ),
        ("DROP TABLE numbers", 'no table "numbers"'),
        ("CREATE RULE other AS ON UPDATE TO numbers DO INSTEAD NOTHING", 'a rule ON UPDATE: "other"'),
    ],
)
def test_it_stops(database_url: str, text: str, reason: str, undo: str) -> None:
    numbers(database_url, 1000)
    with pytest.raises(TableAltered, match=reason):
        fill(
            database_url,
            spec("numbers", "n", "n + 1"),
            Meanwhile(database_url, text),
            undo_journal_mode=JournalMode(undo),
        )
    with connect(database_url) as connection:
        run = journal.latest_run(connection, "numbers.n")
    assert run is not None
    assert (run.state, run.batches) == (State.FAILED, 2)
    assert "was altered meanwhile" in (run.error or "")


def test_another_order_of_the_same_text_is_noticed(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute('CREATE TABLE t (id text COLLATE "C" PRIMARY KEY, n int NOT NULL DEFAULT 0)')
        connection.execute("INSERT INTO t SELECT chr(65 + g % 58) || g FROM generate_series(1, 1000) g")
    quiet = Meanwhile(database_url, 'ALTER TABLE t ALTER id TYPE text COLLATE "default"')
    with pytest.raises(TableAltered, match="another type or order"):
        fill(database_url, spec("t", "n", "n + 1"), quiet)
    with pytest.raises(TargetChanged, match="another collation"):
        resume_backfill(database_url, "t.n", pace=Pace(), stop=Quiet(), watch=Quiet())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ALTER TABLE numbers ALTER n TYPE bigint", 'column "n" had another type'),
        ('ALTER TABLE numbers ALTER id TYPE text COLLATE "C"', "its key is now"),
    ],
)
def test_what_resume_finds_altered_is_refused(database_url: str, text: str, reason: str) -> None:
    numbers(database_url, 1000)
    with pytest.raises(TableAltered):
        fill(database_url, spec("numbers", "n", "n + 1"), Meanwhile(database_url, text))
    with pytest.raises(TargetChanged, match=reason):
        resume_backfill(database_url, "numbers.n", pace=Pace(), stop=Quiet(), watch=Quiet())


def test_once_it_is_as_it_was_resume_goes_on(database_url: str) -> None:
    numbers(database_url, 1000)
    with pytest.raises(TableAltered):
        fill(
            database_url,
            spec("numbers", "n", "n + 1"),
            Meanwhile(database_url, "ALTER TABLE numbers RENAME n TO m"),
        )
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers RENAME m TO n")
    resume_backfill(database_url, "numbers.n", pace=Pace(), stop=Quiet(), watch=Quiet())
    assert by_value(database_url) == {1: 1000}


def test_a_table_that_is_replaced_while_a_batch_waits_for_its_lock_is_not_written(database_url: str) -> None:
    """The next batch has looked at the table already when another one takes its name."""
    numbers(database_url, 1000)
    with psycopg.connect(database_url) as connection:
        timer = threading.Timer(0.3, connection.commit)

        def between(batches: int) -> None:
            if batches == 2:
                connection.execute("ALTER TABLE numbers RENAME TO was")
                connection.execute("CREATE TABLE numbers (LIKE was INCLUDING ALL)")
                connection.execute("INSERT INTO numbers SELECT * FROM was")
                connection.execute("UPDATE numbers SET n = 0")
                timer.start()

        with pytest.raises(TableAltered, match="taken its name"):
            fill(database_url, spec("numbers", "n", "n + 1"), Quiet(between=between))
        timer.join()
    assert by_value(database_url) == {0: 1000}


@pytest.mark.parametrize("undo", ["on", "off"])
def test_a_table_that_is_written_anew_while_a_batch_waits_for_its_lock_is_walked_on(
    database_url: str, undo: str
) -> None:
    """To a snapshot from before, such a table is empty."""
    numbers(database_url, 1000)
    with psycopg.connect(database_url) as connection:
        timer = threading.Timer(0.3, connection.commit)

        def between(batches: int) -> None:
            if batches == 2:
                connection.execute("ALTER TABLE numbers ALTER hits TYPE bigint")
                timer.start()

        fill(
            database_url,
            spec("numbers", "n", "n + 1"),
            Quiet(between=between),
            undo_journal_mode=JournalMode(undo),
        )
        timer.join()
    assert by_value(database_url) == {1: 1000}


def test_a_plan_that_goes_wrong_on_the_way_is_noticed(database_url: str) -> None:
    numbers(database_url, 500)
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        for way in ("indexscan", "indexonlyscan", "bitmapscan"):
            connection.execute(f'ALTER DATABASE "{name}" SET enable_{way} = off'.encode())
    grown = (
        "INSERT INTO numbers SELECT -g, 1, 0, md5(g::text) || md5(g::text) FROM generate_series(1, 120000) g;"
        " ANALYZE numbers"
    )
    with pytest.raises(PlanIgnoresKey, match="a seq scan"):
        fill(
            database_url,
            spec("numbers", "n", "n + 1"),
            Meanwhile(database_url, grown),
            pace=Pace(largest=20, commit_seconds=0.0005),
        )


OVERWRITING = (
    "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN IF NEW.n > 0 THEN NEW.n := 7; END IF; RETURN NEW; END';"
)
TRIGGER = "CREATE TRIGGER f BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION public.f();"
HARMLESS = "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"


@pytest.mark.parametrize("undo", ["on", "off"])
@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [
        ("SELECT", OVERWRITING + TRIGGER),
        (
            OVERWRITING + TRIGGER + "ALTER TABLE numbers DISABLE TRIGGER f",
            "ALTER TABLE numbers ENABLE TRIGGER f",
        ),
        (HARMLESS + TRIGGER, OVERWRITING.replace("CREATE", "CREATE OR REPLACE")),
    ],
    ids=["made", "enabled", "of another function"],
)
def test_a_trigger_that_overwrites_from_now_on_stops_it(
    database_url: str, before: str, meanwhile: str, undo: str
) -> None:
    numbers(database_url, 1000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(before.encode())
        with pytest.raises(
            ValueOverwritten, match=r'"numbers\.n" does not keep what it is given: (\d+) of \1 rows'
        ):
            fill(
                database_url,
                spec("numbers", "n", "n + 1"),
                Meanwhile(database_url, meanwhile),
                undo_journal_mode=JournalMode(undo),
            )
        assert set(by_value(database_url)) == {0, 1}
        with connect(database_url) as looking:
            assert journal.named_run(looking, "numbers.n").state is State.FAILED
        connection.execute("ALTER TABLE numbers DISABLE TRIGGER f")
    resume_backfill(database_url, "numbers.n", pace=Pace(), stop=Quiet(), watch=Quiet())
    assert by_value(database_url) == {1: 1000}


def test_a_trigger_that_keeps_rows_from_being_written_stops_it(database_url: str) -> None:
    numbers(database_url, 1000)
    keeping = OVERWRITING.replace("RETURN NEW", "RETURN NULL") + TRIGGER
    with pytest.raises(ValueOverwritten, match=r"(\d+) of \1 rows"):
        fill(database_url, spec("numbers", "n", "n + 1"), Meanwhile(database_url, keeping))
    written = by_value(database_url)
    with pytest.raises(Overwritten):
        fill(database_url, spec("numbers", "hits", "1"))
    assert by_value(database_url) == written


def test_a_trigger_that_spares_what_is_right_already_is_let_be(database_url: str) -> None:
    numbers(database_url, 300)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TRIGGER z BEFORE UPDATE ON numbers FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        )
        connection.execute("UPDATE numbers SET n = 7 WHERE id % 2 = 0")
    assert fill(database_url, spec("numbers", "n", "7")).good
    assert by_value(database_url) == {7: 300}


def test_a_trigger_on_a_partition_that_is_walked_later_is_noticed_there(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE numbers (id bigint PRIMARY KEY, n integer NOT NULL) PARTITION BY RANGE (id);"
            "CREATE TABLE low PARTITION OF numbers FOR VALUES FROM (0) TO (500);"
            "CREATE TABLE high PARTITION OF numbers FOR VALUES FROM (500) TO (1000);"
            "INSERT INTO numbers SELECT g, 0 FROM generate_series(0, 999) g"
        )
    trigger = OVERWRITING + TRIGGER.replace("numbers", "high")
    with pytest.raises(ValueOverwritten):
        fill(database_url, spec("numbers", "n", "n + 1"), Meanwhile(database_url, trigger))
    assert by_value(database_url) == {1: 500, 0: 500}
