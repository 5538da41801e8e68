"""What holds or slows a backfill on a real server, in each of its phases, and what it makes of that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec
from support.holds import Releasing, by

from evolve.app.backfill_work import Pace
from evolve.app.explain_backfill import explain_backfill
from evolve.app.steer_backfill import let_go, throttle_backfill
from evolve.app.work_on_backfill import work_on_backfill
from evolve.backfill.happenings import Committed, Entered, Happening
from evolve.backfill.modes import Mode
from evolve.backfill.sensor import Degree, Limits, Reading, Unit
from evolve.backfill.shapes import Shape
from evolve.backfill.status import State
from evolve.backfill.throttling import Throttling, Watched
from evolve.postgres import journal, scratch
from evolve.postgres.connect import Connection, connect
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sharing import Sharing

pytestmark = pytest.mark.server

NAME = "numbers.n"
WORK = spec("numbers", "n", "n + 1", where="n = 0")
PLAIN = (Shape(1, touch=False),)


@pytest.fixture
def admin(database_url: str) -> Iterator[Connection]:
    with connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE ops AS SELECT true AS frozen")
        yield connection


FREEZE = {"freeze": {"sql": "SELECT frozen FROM ops", "every": "20ms"}}


def thaw(admin: Connection) -> Callable[[], object]:
    return lambda: admin.execute("UPDATE ops SET frozen = false")


def once(act: Callable[[], object]) -> Callable[[], None]:
    left = [act]

    def do() -> None:
        if left:
            left.pop()()

    return do


def told(url: str) -> list[tuple[str, str]]:
    with connect(url, autocommit=True) as connection:
        record = journal.named_run(connection, NAME)
        return [(event.kind, event.detail) for event in journal.events(connection, record.run_id, 50)]


# in each phase


def test_the_wait_for_older_transactions_is_held_and_does_not_count_meanwhile(
    database_url: str, admin: Connection
) -> None:
    numbers(database_url, 500)
    causes: list[str] = []
    with psycopg.connect(database_url) as older:
        older.execute("UPDATE numbers SET hits = 1 WHERE id = 3")

        def release() -> None:
            until(lambda: ("hold", "freeze says hold") in told(database_url))
            causes.extend(cause.text for cause in explain_backfill(database_url, NAME).causes)
            older.commit()
            thaw(admin)()

        quiet = Releasing(word="freeze says", release=once(release))
        # It is held for longer than it may wait.
        outcome = fill(database_url, WORK, quiet, pace=replace(by(FREEZE), fence_seconds=1.0))
    assert outcome.state is State.DONE
    assert next(each.state for each in quiet.snapshots if each.hold == "freeze says hold") == "throttled"
    assert "it is held: freeze says hold" in causes


@dataclass
class Switch:
    """A sensor that says hold while it is on."""

    name: str = "freeze"
    unit: Unit = Unit.NUMBER
    on: bool = False
    looks: int = 0

    def read(self) -> Reading:
        on = self.on
        self.looks += 1
        return Reading(None, "freeze says hold", Degree.HARD if on else Degree.FREE)

    def turn(self, on: bool) -> None:
        """Returns once that is seen."""
        self.on = on
        seen = self.looks
        until(lambda: self.looks > seen + 2)


def test_the_verification_is_held(database_url: str) -> None:
    numbers(database_url, 500)
    switch = Switch()

    def freeze(happening: Happening) -> None:
        if happening == Entered(State.VERIFYING):
            switch.turn(True)

    quiet = Releasing(word="freeze says", release=lambda: switch.turn(False))
    plugged = (("freeze", Watched(switch, Limits(), every=0.02)),)
    pace = Pace(largest=100, throttling=Throttling(plugged=plugged))
    outcome = fill(database_url, WORK, quiet, pace=pace, observer=freeze)
    assert outcome.state is State.DONE
    assert next(each.rows for each in quiet.snapshots if each.hold == "freeze says hold") == 500
    assert outcome.verdict is not None
    assert outcome.verdict.rows == 500


def test_the_verification_hears_an_operator(database_url: str) -> None:
    numbers(database_url, 500)

    def hold(happening: Happening) -> None:
        if happening == Entered(State.VERIFYING):
            throttle_backfill(database_url, NAME, seconds=None, reason="lunch")
            time.sleep(1.1)  # until the lease is to be renewed, which is when it is heard

    quiet = Releasing(word="lunch", release=once(lambda: let_go(database_url, NAME)))
    outcome = fill(database_url, WORK, quiet, observer=hold)
    assert outcome.state is State.DONE
    assert quiet.held("lunch").startswith("held by ")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


# by what


def at_batch(number: int, act: Callable[[], object]) -> Callable[[int], None]:
    def between(batch: int) -> None:
        if batch == number:
            act()

    return between


def test_an_old_snapshot_holds_until_it_ends(database_url: str) -> None:
    numbers(database_url, 5000)
    with psycopg.connect(database_url, application_name="report") as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def look() -> None:
            old.execute("SELECT count(*) FROM numbers")
            time.sleep(0.6)

        quiet = Releasing(word="limit 0.5 s", release=old.rollback, between=at_batch(3, look))
        pace = by({"old-snapshot": {"hard": "500ms", "soft": "400ms", "every": "20ms"}})
        assert fill(database_url, WORK, quiet, pace=pace).state is State.DONE
    assert '"report", idle in transaction), limit 0.5 s' in quiet.held("limit")
    assert by_value(database_url) == {1: 5000}


def test_a_slot_that_nobody_reads_holds_until_it_is_gone(database_url: str, admin: Connection) -> None:
    numbers(database_url, 5000)
    admin.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    gone = once(lambda: admin.execute("SELECT pg_drop_replication_slot('forgotten')"))
    try:
        quiet = Releasing(word="limit 500 kB", release=gone)
        pace = by({"slots": {"hard": "500kB", "every": "20ms"}})
        assert fill(database_url, WORK, quiet, pace=pace).state is State.DONE
    finally:
        gone()
    assert 'kept for slot "forgotten", which nobody reads, limit 500 kB' in quiet.held("forgotten")


@pytest.mark.long
def test_an_archiver_that_fails_holds_until_it_is_mended() -> None:
    # What is asked for there is not in the folder of the data yet.
    settings = {"archive_mode": "on", "archive_command": "test -e mended", "wal_level": "replica"}
    with scratch.server(settings=settings) as server, server.database() as url:
        numbers(url, 500)
        with connect(url, autocommit=True) as connection:
            data = Path(str(value(connection, "SHOW data_directory")))
            for _ in range(4):
                connection.execute("SELECT pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")
            until(lambda: value(connection, "SELECT failed_count > 0 FROM pg_stat_archiver") is True)

            def mend() -> None:
                (data / "mended").touch()
                # A new segment wakes it up.
                connection.execute("SELECT pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")

            quiet = Releasing(word="limit 2", release=once(mend))
            pace = by({"archiver": {"soft": 1, "hard": 2, "every": "20ms"}})
            assert fill(url, WORK, quiet, pace=pace).state is State.DONE
    assert "segments waiting, the archive command fails, limit 2" in quiet.held("archiver")


def value(connection: Connection, query: LiteralString) -> object:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def vacuuming(url: str) -> Iterator[None]:
    """The table is vacuumed as slowly as may be while the block lasts."""
    with psycopg.connect(url, autocommit=True) as vacuum, psycopg.connect(url, autocommit=True) as watching:
        vacuum.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")

        def work() -> None:
            with pytest.raises(psycopg.errors.QueryCanceled):
                vacuum.execute("VACUUM (DISABLE_PAGE_SKIPPING) numbers")

        thread = threading.Thread(target=work)
        thread.start()
        until(
            lambda: watching.execute("SELECT count(*)::int FROM pg_stat_progress_vacuum").fetchone() == (1,)
        )
        try:
            yield
        finally:
            vacuum.cancel()
            thread.join()


def test_a_vacuum_of_the_table_slows_the_run(database_url: str) -> None:
    numbers(database_url, 3000)
    quiet = Releasing(word="being vacuumed")
    with vacuuming(database_url):
        pace = by({"vacuum": {"every": "20ms"}}, Mode.FAST)
        assert fill(database_url, WORK, quiet, pace=pace).state is State.DONE
    assert "of the live ones, and the table is being vacuumed" in quiet.held("vacuumed")
    assert quiet.held("vacuumed").endswith("slowed to 50%")


@pytest.mark.long
def test_a_sensor_that_changes_its_mind_all_the_time_slows_and_fills_no_log(database_url: str) -> None:
    numbers(database_url, 1500)
    # Out of step with the half second after which a held run asks again.
    moods = "SELECT (extract(epoch FROM clock_timestamp()) * 7)::bigint % 2 * 100"
    pace = by({"moody": {"sql": moods, "hard": 50, "every": "20ms"}})
    outcome = fill(database_url, WORK, Releasing(), pace=pace)
    assert (outcome.state, outcome.rows) == (State.DONE, 1500)
    # Each hold that is written down has lasted for two seconds.
    assert len([kind for kind, _ in told(database_url) if kind == "hold"]) <= outcome.seconds / 2


# somebody waits for the run


def test_who_waits_for_the_run_makes_its_batches_smaller(database_url: str) -> None:
    """A batch that waits for a row itself keeps others waiting for those that it has written already."""
    numbers(database_url, 6000)
    sizes: list[int] = []

    def note(happening: Happening) -> None:
        if isinstance(happening, Committed):
            sizes.append(happening.size)

    with (
        psycopg.connect(database_url) as holder,
        psycopg.connect(database_url, autocommit=True, application_name="shop") as shop,
    ):
        threads: list[threading.Thread] = []

        def hold() -> None:
            holder.execute("UPDATE numbers SET hits = 1 WHERE id = 3 * 1200")
            threads.append(threading.Thread(target=buy))
            threads.append(threading.Thread(target=let_go_soon))
            for thread in threads:
                thread.start()

        def buy() -> None:
            until(lambda: waits_for(database_url, holder.info.backend_pid))
            # What the batch that waits has just written.
            shop.execute("UPDATE numbers SET hits = 2 WHERE id = 3 * 1199")

        def let_go_soon() -> None:
            until(lambda: waits(database_url, shop.info.backend_pid))
            time.sleep(0.3)
            holder.rollback()

        pace = replace(
            by({"waiters": {"soft": "10ms", "hard": "20ms", "every": "20ms"}}, largest=400),
            shapes=PLAIN,
            commit_seconds=5.0,
            timeouts=replace(Pace().timeouts, lock=20_000),
        )
        quiet = Quiet(between=at_batch(2, hold))
        outcome = fill(database_url, WORK, quiet, pace=pace, observer=note)
        for thread in threads:
            thread.join()
    assert (outcome.state, max(sizes)) == (State.DONE, 400)
    assert min(sizes[2:]) <= 200


def waits(url: str, pid: int) -> bool:
    with connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = %s)", (pid,)
        ).fetchone()
    return found == (True,)


def waits_for(url: str, pid: int) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))", (pid,)
        ).fetchone()
    return found == (True,)


# limits of the whole run


@pytest.mark.long
def test_a_limit_of_the_run_holds_for_its_processes_together(database_url: str) -> None:
    numbers(database_url, 4000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ANALYZE numbers")
    threads: list[threading.Thread] = []
    joined: list[object] = []

    def join() -> None:
        joined.append(work_on_backfill(database_url, NAME, pace=Pace(), stop=Quiet(), watch=quiet))

    def start() -> None:
        threads.append(threading.Thread(target=join))
        threads[0].start()

    quiet = Releasing(word="of which")
    quiet.between = at_batch(1, start)
    pace = Pace(largest=100, workers=2, rows_per_second=1000)
    began = time.monotonic()
    outcome = fill(database_url, WORK, quiet, pace=pace)
    seconds = time.monotonic() - began
    for thread in threads:
        thread.join()
    assert outcome.state is State.DONE
    assert seconds > 2.5  # two that do not know of each other take two


def test_a_process_has_the_part_of_its_workers(database_url: str) -> None:
    numbers(database_url, 3000)
    stopping = Quiet()
    stopping.stop_when = lambda: stopping.batches > 1
    fill(database_url, WORK, stopping, pace=Pace(largest=100, workers=2))
    eye = Eye(database_url)
    try:
        with connect(database_url, autocommit=True) as connection:
            run_id = journal.named_run(connection, NAME).run_id
            # Two workers that live, and one that does not.
            connection.execute(
                "UPDATE evolve.backfill_range SET lease_owner = range_no::text, lease_backend = pg_backend_pid(),"
                " lease_until = now() + CASE WHEN range_no < 3 THEN interval '1 hour' ELSE '-1 s' END"
                " WHERE range_no < 4"
            )
            parts = []
            for owners in (["1", "2"], ["2"], ["9"]):
                sharing = Sharing(eye, run_id, owners)
                sharing.look()
                parts.append(sharing.part)
    finally:
        eye.close()
    assert parts == [1.0, 0.5, pytest.approx(1 / 3)]
