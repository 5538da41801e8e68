"""Backfills on a real server: every kind of key, pauses, restarts, locks, old transactions, partitions."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import OldTransactions, Outcome, Pace
from evolve.app.dry_run_backfill import dry_run_backfill
from evolve.app.pause_backfill import cancel_backfill, pause_backfill
from evolve.app.resume_backfill import resume_backfill
from evolve.backfill.record import NoSuchRun, RunEnded, RunPaused, SpecChanged, TargetChanged
from evolve.backfill.runner import RejectsOverBudget
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.postgres import journal
from evolve.postgres.backfill_target import BadExpression
from evolve.postgres.connect import connect
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

KEYS = {
    "integer with gaps": ("id integer PRIMARY KEY", "g * 7"),
    "negative bigint": ("id bigint PRIMARY KEY", "g - 500"),
    "uuid": ("id uuid PRIMARY KEY", "md5(g::text)::uuid"),
    "text": ("id text PRIMARY KEY", "'%%''\"' || md5(g::text)"),
    "text in another collation": ('id text COLLATE "C" PRIMARY KEY', "chr(65 + g %% 58) || md5(g::text)"),
    "timestamp with zone": (
        "id timestamptz PRIMARY KEY",
        "'2026-03-29 00:59:59.5+01'::timestamptz + g * interval '7.3 s'",
    ),
    "timestamp before Christ": (
        "id timestamp PRIMARY KEY",
        "'0044-03-15 BC'::timestamp + g * interval '1 day'",
    ),
    "date": ("id date PRIMARY KEY", "'2026-01-01'::date + g"),
    "numeric": ("id numeric PRIMARY KEY", "g * 1.00000000000000000001"),
    "double": ("id float8 PRIMARY KEY", "g / 3.0::float8"),
    "padded character": ("id char(40) PRIMARY KEY", "md5(g::text)"),
    "bytes": ("id bytea PRIMARY KEY", "decode(md5(g::text), 'hex')"),
    "falling index": ("id bigint NOT NULL", "g"),
    "a name to quote": ('"Id %%" bigint PRIMARY KEY', "g"),
    "a unique column": ("id bigint NOT NULL UNIQUE", "g"),
}


def one_each(url: str) -> dict[int, int]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT n, count(*)::int FROM t GROUP BY n").fetchall())


@pytest.mark.parametrize("kind", sorted(KEYS))
@pytest.mark.parametrize("undo", ["on", "off"])
def test_every_row_once_whatever_the_key(database_url: str, kind: str, undo: str) -> None:
    column, value = (text.replace("%%", "%") for text in KEYS[kind])
    with psycopg.connect(database_url, autocommit=True) as connection:
        # Settings that spell values in ways which do not read back the same.
        row = connection.execute("SELECT current_database()").fetchone()
        assert row is not None
        for setting in (
            "DateStyle = 'SQL, DMY'",
            "TimeZone = 'Europe/Lisbon'",
            "IntervalStyle = 'sql_standard'",
        ):
            connection.execute(f'ALTER DATABASE "{row[0]}" SET {setting}'.encode())
        connection.execute(f"CREATE TABLE t ({column}, n integer NOT NULL DEFAULT 0)".encode())
        connection.execute(f"INSERT INTO t SELECT {value} FROM generate_series(1, 1000) g".encode())
        if kind == "falling index":
            connection.execute("CREATE UNIQUE INDEX ON t (id DESC)")
    outcome = fill(database_url, spec("t", "n", "n + 1"), undo_journal_mode=JournalMode(undo))
    assert (outcome.state, outcome.rows) == (State.DONE, 1000)
    assert outcome.batches >= 10
    assert one_each(database_url) == {1: 1000}


@pytest.mark.parametrize("undo", ["on", "off"])
def test_a_composite_key_is_walked_as_a_row(database_url: str, undo: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (a int, b text, c date, n int NOT NULL DEFAULT 0, PRIMARY KEY (b, a, c))"
        )
        connection.execute(
            "INSERT INTO t SELECT g % 5, chr(65 + g % 7), '2026-01-01'::date + g, 0 FROM generate_series(1, 1000) g"
        )
    fill(database_url, spec("t", "n", "n + 1"), undo_journal_mode=JournalMode(undo))
    assert one_each(database_url) == {1: 1000}


def test_a_named_key_is_walked(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL UNIQUE, n int NOT NULL DEFAULT 0)"
        )
        connection.execute("INSERT INTO t SELECT g, md5(g::text), 0 FROM generate_series(1, 500) g")
    fill(database_url, spec("t", "n", "n + 1", key=("code",)))
    with connect(database_url) as connection:
        run = journal.latest_run(connection, "t.n")
    assert run is not None
    assert [column.name for column in run.key] == ["code"]
    assert one_each(database_url) == {1: 500}


def test_a_partitioned_table_is_walked_across_its_partitions(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)"
        )
        for low in range(0, 1000, 250):
            connection.execute(
                f"CREATE TABLE t_{low} PARTITION OF t FOR VALUES FROM ({low}) TO ({low + 250})".encode()
            )
        connection.execute("INSERT INTO t SELECT g, 0 FROM generate_series(0, 999) g")
    fill(database_url, spec("t", "n", "n + 1"))
    assert one_each(database_url) == {1: 1000}


def test_an_empty_table_is_done_at_once(database_url: str) -> None:
    numbers(database_url, 0)
    outcome = fill(database_url, spec("numbers", "n", "n + 1"))
    assert (outcome.state, outcome.rows, outcome.batches) == (State.DONE, 0, 0)


def test_only_rows_that_fit_the_predicate_are_written(database_url: str) -> None:
    numbers(database_url, 1000)
    outcome = fill(database_url, spec("numbers", "n", "5", where="n = 0 AND id % 2 = 0 -- a comment"))
    assert by_value(database_url) == {0: 500, 5: 500}
    assert outcome.rows == 500
    assert outcome.good


def test_two_columns_at_once(database_url: str) -> None:
    numbers(database_url, 300)
    two = Spec("two", QualifiedName("numbers"), (("n", "hits + 1"), ("note", "'x' || id")))
    assert fill(database_url, two).good
    with psycopg.connect(database_url) as connection:
        assert connection.execute(
            "SELECT count(*) FROM numbers WHERE n = 1 AND note = 'x' || id"
        ).fetchone() == (300,)


def test_rows_inserted_behind_the_last_key_are_left_alone(database_url: str) -> None:
    numbers(database_url, 1000)
    inserted: list[int] = []

    def insert(batches: int) -> None:
        inserted.append(1_000_000 + batches)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("INSERT INTO numbers VALUES (%s, 0, 0, '')", inserted[-1:])

    fill(database_url, spec("numbers", "n", "n + 1"), Quiet(between=insert))
    assert by_value(database_url) == {1: 1000, 0: len(inserted)}


# starting, stopping, starting again


def paused(url: str, rows: int = 1000) -> Outcome:
    """A run that a signal stopped after a few batches."""
    numbers(url, rows)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches > 2
    return fill(url, spec("numbers", "n", "n + 1"), quiet)


def go_on(url: str, quiet: Quiet | None = None) -> Outcome | None:
    quiet = quiet or Quiet()
    return resume_backfill(url, "numbers.n", pace=Pace(largest=100), stop=quiet, watch=quiet)


def test_a_signal_leaves_the_run_paused_and_resume_ends_it(database_url: str) -> None:
    stopped = paused(database_url)
    assert (stopped.state, stopped.stopped_by, stopped.good) == (State.PAUSED, "SIGTERM", False)
    assert 0 < stopped.rows < 1000
    ended = go_on(database_url)
    assert ended is not None
    assert (ended.state, ended.rows) == (State.DONE, 1000)
    assert by_value(database_url) == {1: 1000}


def test_a_paused_run_is_not_started_by_run(database_url: str) -> None:
    paused(database_url)
    with pytest.raises(RunPaused, match="paused"):
        fill(database_url, spec("numbers", "n", "n + 1"))


def test_a_done_run_is_left_alone(database_url: str) -> None:
    numbers(database_url, 100)
    fill(database_url, spec("numbers", "n", "n + 1"))
    assert fill(database_url, spec("numbers", "n", "n + 1")).already
    assert by_value(database_url) == {1: 100}


def test_restart_writes_every_row_again(database_url: str) -> None:
    numbers(database_url, 100)
    fill(database_url, spec("numbers", "n", "n + 1"))
    fill(database_url, spec("numbers", "n", "n + 10"), restart=True)
    assert by_value(database_url) == {11: 100}


def test_another_expression_under_the_same_name_is_refused(database_url: str) -> None:
    paused(database_url)
    with pytest.raises(SpecChanged, match=r"set: n = n \+ 1 → n = n \+ 2"):
        fill(database_url, spec("numbers", "n", "n + 2"))


def test_a_run_that_was_stopped_behind_its_last_batch_ends_when_it_is_resumed(database_url: str) -> None:
    numbers(database_url, 10)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches >= 1
    assert fill(database_url, spec("numbers", "n", "n + 1"), quiet).state is State.PAUSED
    outcome = go_on(database_url)
    assert outcome is not None
    assert (outcome.state, by_value(database_url)) == (State.DONE, {1: 10})


def test_a_cancelled_run_stays_cancelled(database_url: str) -> None:
    written = paused(database_url).rows
    assert cancel_backfill(database_url, "numbers.n").state is State.CANCELLED
    with pytest.raises(RunEnded):
        go_on(database_url)
    assert by_value(database_url) == {0: 1000 - written, 1: written}


class AtBatch(Quiet):
    """Does something once, when the second batch has committed."""

    def __init__(self, act) -> None:
        super().__init__(between=lambda batches: act() if batches == 2 else None)


@pytest.mark.parametrize(
    ("ask", "state"), [(pause_backfill, State.PAUSED), (cancel_backfill, State.CANCELLED)]
)
def test_another_session_stops_it_at_its_next_commit(database_url: str, ask, state: State) -> None:
    numbers(database_url, 2000)
    asked = AtBatch(lambda: ask(database_url, "numbers.n"))
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), asked)
    assert (outcome.state, outcome.stopped_by) == (state, "the journal")
    assert outcome.batches == 3


def test_a_pause_taken_back_before_the_next_commit_never_happened(database_url: str) -> None:
    numbers(database_url, 1000)

    def pause_and_resume() -> None:
        pause_backfill(database_url, "numbers.n")
        assert go_on(database_url) is None

    outcome = fill(database_url, spec("numbers", "n", "n + 1"), AtBatch(pause_and_resume))
    assert (outcome.state, outcome.rows) == (State.DONE, 1000)


def test_the_journal_names_who_did_what(database_url: str) -> None:
    paused(database_url)
    go_on(database_url)
    with connect(database_url) as connection:
        run = journal.latest_run(connection, "numbers.n")
        assert run is not None
        told = journal.events(connection, run.run_id)
    assert [event.kind for event in told] == ["start", "fencing", "paused", "resume", "running", "done"]
    assert all("@" in event.actor for event in told)


def test_a_run_nobody_knows_is_named_with_those_that_exist(database_url: str) -> None:
    paused(database_url)
    with pytest.raises(NoSuchRun, match=r'"numbers\.n"'):
        pause_backfill(database_url, "numbres.n")


def test_without_a_journal_there_is_no_run(database_url: str) -> None:
    with connect(database_url) as connection:
        assert journal.latest_run(connection, "anything") is None


def test_a_table_that_took_its_place_is_noticed(database_url: str) -> None:
    paused(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers RENAME TO was; CREATE TABLE numbers (LIKE was INCLUDING ALL)")
    with pytest.raises(TargetChanged):
        go_on(database_url)


def test_a_row_that_may_not_be_set_aside_stops_the_run_and_resume_goes_on_once_it_is_mended(
    database_url: str,
) -> None:
    numbers(database_url, 1000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET hits = -5 WHERE id = 1500")
        with pytest.raises(RejectsOverBudget, match=r"key \(1500\): division by zero"):
            fill(database_url, spec("numbers", "n", "n + 5 / (hits + 5)"), max_rejects=0)
        with connect(database_url) as looking:
            run = journal.latest_run(looking, "numbers.n")
        assert run is not None
        assert (run.state, run.shown) == (State.FAILED, "failed")
        assert "division by zero" in (run.error or "")
        connection.execute("UPDATE numbers SET hits = 0 WHERE id = 1500")
    go_on(database_url)
    assert by_value(database_url) == {1: 1000}


def test_a_column_dropped_on_the_way_is_a_clear_error(database_url: str) -> None:
    paused(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers RENAME COLUMN n TO m")
    with pytest.raises(Exception, match='no column "n"'):
        go_on(database_url)


# others in the database


def test_a_locked_row_is_waited_for_in_small_pieces(database_url: str) -> None:
    numbers(database_url, 1000)
    with psycopg.connect(database_url) as holder:
        timer = threading.Timer(1.0, holder.rollback)

        def lock() -> None:  # not before the run begins: it would wait for this transaction first
            holder.execute("SELECT FROM numbers WHERE id = 2700 FOR UPDATE")
            timer.start()

        quiet = AtBatch(lock)
        pace = Pace(largest=100, timeouts=replace(Pace().timeouts, lock=100))
        outcome = fill(database_url, spec("numbers", "n", "n + 1"), quiet, pace=pace)
        timer.join()
    assert outcome.state is State.DONE
    assert any("lock timeout" in line for line in quiet.said)
    assert by_value(database_url) == {1: 1000}


def test_a_statement_that_times_out_is_tried_with_fewer_rows(database_url: str) -> None:
    numbers(database_url, 400)
    with psycopg.connect(database_url, autocommit=True) as connection:
        # The fifty rows that the probe walks take no time; of the others the timeout lets a hundred through.
        connection.execute(
            "CREATE FUNCTION slow(id bigint) RETURNS integer LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(CASE WHEN id > 150 THEN 0.005 ELSE 0 END); RETURN 1; END $$"
        )
    pace = Pace(commit_seconds=10, largest=400, timeouts=replace(Pace().timeouts, statement=500))
    quiet = Quiet()
    outcome = fill(database_url, spec("numbers", "n", "slow(id)"), quiet, pace=pace)
    assert outcome.state is State.DONE
    assert any("statement timeout" in line for line in quiet.said)
    assert by_value(database_url) == {1: 400}


@pytest.mark.parametrize("undo", ["on", "off"])
def test_deadlocks_with_writers_in_the_opposite_order_are_survived(database_url: str, undo: str) -> None:
    numbers(database_url, 3000)
    stop = threading.Event()
    deadlocks = []

    def backwards() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SET deadlock_timeout = '20ms'")
            while not stop.is_set():
                try:
                    with connection.transaction():
                        for key in (9000, 6000, 3000, 1500, 900, 300):
                            connection.execute("UPDATE numbers SET hits = hits + 1 WHERE id = %s", (key,))
                            time.sleep(0.002)
                except psycopg.errors.DeadlockDetected as error:
                    deadlocks.append(error)

    thread = threading.Thread(target=backwards)
    thread.start()
    try:
        outcome = fill(
            database_url,
            spec("numbers", "n", "n + 1"),
            pace=Pace(commit_seconds=5, largest=3000, patience=20),
            undo_journal_mode=JournalMode(undo),
        )
    finally:
        stop.set()
        thread.join()
    assert outcome.state is State.DONE
    assert by_value(database_url) == {1: 3000}


def until_it_sleeps(url: str) -> None:
    sleeping = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    ends = time.monotonic() + 20
    with psycopg.connect(url, autocommit=True) as watcher:
        while watcher.execute(sleeping).fetchone() != (True,) and time.monotonic() < ends:
            time.sleep(0.01)


def test_of_a_batch_and_a_writer_that_wait_for_each_other_the_batch_gives_way(database_url: str) -> None:
    numbers(database_url, 100)
    with psycopg.connect(database_url, autocommit=True) as connection:
        # Key 72 is written, and waited for, well before the same batch comes to key 78.
        connection.execute(
            "CREATE FUNCTION slow(id bigint) RETURNS integer LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(CASE id WHEN 75 THEN 0.4 ELSE 0 END); RETURN 1; END $$"
        )
    errors: list[psycopg.Error] = []
    with psycopg.connect(database_url) as writer:

        def write() -> None:
            until_it_sleeps(database_url)
            try:
                writer.execute("UPDATE numbers SET hits = hits + 1 WHERE id = 72")
                writer.commit()
            except psycopg.Error as error:
                errors.append(error)

        thread = threading.Thread(target=write)

        def lock() -> None:
            writer.execute("SELECT FROM numbers WHERE id = 78 FOR UPDATE")
            thread.start()

        quiet = AtBatch(lock)
        pace = Pace(commit_seconds=10, largest=10)
        fill(database_url, spec("numbers", "n", "slow(id)"), quiet, pace=pace, plain_sql=True)
        thread.join()
    assert errors == []
    assert any("lock timeout" in line for line in quiet.said)


def test_a_transaction_older_than_the_run_is_waited_for_by_name(database_url: str) -> None:
    numbers(database_url, 100)
    quiet = Quiet()
    with psycopg.connect(database_url, application_name="old code") as old:
        old.execute("INSERT INTO numbers VALUES (1, 0, 0, 'old shape')")
        timer = threading.Timer(1.0, old.commit)
        timer.start()
        fill(database_url, spec("numbers", "n", "n + 1"), quiet)
        timer.join()
        pid = old.info.backend_pid
    assert any(f"pid {pid}" in line and "old code" in line for line in quiet.said)
    assert by_value(database_url) == {1: 101}


def test_a_transaction_in_another_database_is_not_waited_for(make_database) -> None:
    ours, theirs = make_database(), make_database()
    numbers(ours, 10)
    with psycopg.connect(theirs) as other:
        other.execute("CREATE TABLE open ()")
        quiet = Quiet()
        fill(ours, spec("numbers", "n", "n + 1"), quiet, pace=Pace(fence_seconds=2))
    assert [line for line in quiet.said if "pid " in line] == []


def test_waiting_for_old_transactions_has_a_limit_and_resume_waits_again(database_url: str) -> None:
    numbers(database_url, 100)
    with psycopg.connect(database_url) as old:
        old.execute("UPDATE numbers SET hits = 1 WHERE id = 3")
        with pytest.raises(OldTransactions, match=f"pid {old.info.backend_pid}"):
            fill(database_url, spec("numbers", "hits", "5"), pace=Pace(fence_seconds=0.5))
    quiet = Quiet()
    outcome = resume_backfill(database_url, "numbers.hits", pace=Pace(), stop=quiet, watch=quiet)
    assert outcome is not None
    assert outcome.rows == 100


# guards of the checkpoint


def test_a_worker_whose_range_was_claimed_commits_nothing_more_of_it(database_url: str) -> None:
    numbers(database_url, 1000)

    def steal() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "UPDATE evolve.backfill_range SET lease_epoch = lease_epoch + 1, lease_owner = 'thief@elsewhere#1#x',"
                " lease_until = clock_timestamp() + interval '1 s'"
            )

    quiet = AtBatch(steal)
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), quiet)
    assert any("another worker took over" in line for line in quiet.said)
    # The thief never came back: what it held is taken over when its lease has ended, and goes on where it stood.
    assert (outcome.state, outcome.rows) == (State.DONE, 1000)
    assert by_value(database_url) == {1: 1000}


def test_a_commit_that_came_late_is_seen_and_not_repeated(database_url: str) -> None:
    """As if the third batch, on a connection given up as lost, had committed after all."""
    numbers(database_url, 1000)

    def late() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection, connection.transaction():
            row = connection.execute("SELECT cursor[1]::bigint FROM evolve.backfill_range").fetchone()
            assert row is not None
            written = connection.execute(
                "UPDATE numbers SET n = n + 1 WHERE id > %(low)s AND id <= %(low)s + 60", {"low": row[0]}
            ).rowcount
            assert written == 20
            connection.execute(
                "UPDATE evolve.backfill_range SET cursor = ARRAY[(%s::bigint + 60)::text], batches = batches + 1,"
                " scanned = scanned + 20, changed = changed + 20",
                (row[0],),
            )

    outcome = fill(
        database_url,
        spec("numbers", "n", "n + 1"),
        AtBatch(late),
        undo_journal_mode=JournalMode.OFF,
        plain_sql=True,
    )
    assert (outcome.state, outcome.rows) == (State.DONE, 1000)
    assert by_value(database_url) == {1: 1000}


@pytest.mark.parametrize("query", ["%SET state = %", "%SET low = %"])
def test_a_connection_lost_between_the_batches_is_made_again(database_url: str, query: str) -> None:
    """The server ends the session of whoever turns the run's state, or fixes its range, for the first time."""
    numbers(database_url, 300)
    with connect(database_url, autocommit=True) as connection:
        journal.ensure_journal(connection)
        connection.execute(
            """
            CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF current_query() LIKE TG_ARGV[0] AND nextval('public.cuts') = 1 THEN
                        PERFORM pg_terminate_backend(pg_backend_pid());
                    END IF;
                    RETURN NEW;
                END $$;
            CREATE SEQUENCE public.cuts;
            """
        )
        for table in ("backfill_run", "backfill_range"):
            connection.execute(
                f"CREATE TRIGGER cut BEFORE UPDATE ON evolve.{table} FOR EACH ROW"
                f" EXECUTE FUNCTION public.cut('{query}')".encode()
            )
    quiet = Quiet()
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), quiet)
    assert (outcome.state, outcome.rows) == (State.DONE, 300)
    assert any("going on from what the journal says" in line for line in quiet.said)
    assert by_value(database_url) == {1: 300}


@pytest.mark.parametrize("undo", ["on", "off"])
def test_a_batch_that_somebody_cancels_is_made_again(database_url: str, undo: str) -> None:
    numbers(database_url, 300)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE SEQUENCE public.cancels;
            CREATE FUNCTION public.cancel() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF NEW.id = 450 AND nextval('public.cancels') = 1 THEN
                        PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(60);
                    END IF;
                    RETURN NULL;
                END $$;
            CREATE TRIGGER cancel AFTER UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION public.cancel()
            """
        )
    quiet = Quiet()
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), quiet, undo_journal_mode=JournalMode(undo))
    assert (outcome.state, outcome.rejects) == (State.DONE, 0)
    assert any("user request" in line for line in quiet.said)
    assert by_value(database_url) == {1: 300}


# what is shown before anything is written


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("n +", "syntax error"),
        ("nn", "does not exist"),
        ("'x'", "invalid input syntax"),
        ("now()", "is of type timestamp with time zone"),
        ("1); DELETE FROM numbers; --", "syntax error"),
        ("1, hits = 5", "record"),
        ("1 / hits", "division by zero"),
    ],
)
def test_a_bad_expression_is_refused_before_anything_is_written(
    database_url: str, expression: str, reason: str
) -> None:
    numbers(database_url, 100)
    with pytest.raises(BadExpression, match=re.escape(reason)):
        fill(database_url, spec("numbers", "n", expression))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regnamespace('evolve')").fetchone() == (None,)
    assert by_value(database_url) == {0: 100}


def test_a_dry_run_leaves_nothing_behind(database_url: str) -> None:
    numbers(database_url, 2000)
    dry = dry_run_backfill(
        database_url, spec("numbers", "n", "n + 1"), pace=Pace(), stop=Quiet(), watch=Quiet()
    )
    assert dry.trial is not None
    assert (dry.trial.rows, dry.trial.changed) == (1000, 1000)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regnamespace('evolve')").fetchone() == (None,)
    assert by_value(database_url) == {0: 2000}


def test_an_index_that_is_not_walked_for_lack_of_statistics_is_still_bounded(database_url: str) -> None:
    numbers(database_url, 60_000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE INDEX ON numbers (hits) WHERE n = 0")
    only = spec("numbers", "n", "1", where="n = 0")
    dry = dry_run_backfill(database_url, only, pace=Pace(), stop=Quiet(), watch=Quiet())
    assert dry.trial is not None
    assert any("numbers_pkey" in line for line in dry.trial.plan)
