"""Copies between partitions wait for what backfills wait for, and tell elsewhere how far they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
from support.conversion import ORDERS, Watcher, acted, converted, wait_until
from support.moving import make_partitioned, move
from support.orders import NOW, execute, rows_of, scalar
from support.servers import MakeDatabase, MakeTemplate

from evolve.app import convert_table
from evolve.app.convert_table import Environment, HeldForGood, Patience
from evolve.app.partition_brakes import Politeness, brakes_of
from evolve.app.partition_status import AtWork, partition_status
from evolve.backfill.sensor import Degree, Limits, Reading, Unit
from evolve.backfill.throttle import Hold
from evolve.backfill.throttling import Throttling, Watched
from evolve.partition.conversion import Record
from evolve.partition.steps import Copy
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.sessions import Sessions
from evolve.postgres.sensors.waiters import Waiters

pytestmark = pytest.mark.server


@pytest.fixture
def orders(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    return make_database(make_template("split 1000 False", lambda url: make_partitioned(url, "split", 1_000)))


def politely(url: str, politeness: Politeness, watcher: Watcher) -> Record:
    return convert_table.convert(
        url,
        move(url, "split"),
        observer=watcher,
        patience=Patience(budget=20.0),
        environment=Environment(now=lambda: NOW),
        politeness=politeness,
    )


class Reluctant:
    """Holds three times."""

    def __init__(self) -> None:
        self.asked = 0

    def committed(self, rows: int, seconds: float) -> None: ...

    def hold(self) -> Hold | None:
        self.asked += 1
        return Hold(0.01, "it is market day") if self.asked in (1, 3, 4) else None


class Alarm:
    name = "alarm"
    unit = Unit.NUMBER

    def read(self) -> Reading:
        return Reading(None, "the house burns", Degree.CRITICAL)


def test_a_copy_waits_for_throttles(orders: str) -> None:
    watcher, rows = Watcher(), rows_of(orders)
    throttling = Throttling(sensors=(), plugged=(("reluctant", Reluctant()),))
    assert politely(orders, Politeness(throttling=throttling), watcher).state == "swapped"
    assert watcher.held == ["it is market day"] * 3
    assert rows_of(orders) == rows


def test_each_worker_works_a_share_of_its_time(orders: str) -> None:
    polite = Politeness(0.25, None, Throttling(sensors=()))
    with brakes_of(orders, 0, polite, lambda _: None) as brakes:
        one, other = brakes.worker(), brakes.worker()
        one.committed(10, 60.0)
        hold = one.hold()
        assert hold is not None
        assert hold.reason == "duty 25%"
        assert other.hold() is None


def test_the_sensors_of_backfills_let_a_quiet_server_work(orders: str) -> None:
    watcher = Watcher()
    assert politely(orders, Politeness(wal_per_second=50e6), watcher).state == "swapped"
    assert watcher.told == []


def test_a_critical_sensor_stops_it_and_it_is_resumed(orders: str) -> None:
    throttling = Throttling(sensors=(), plugged=(("alarm", Watched(Alarm(), Limits())),))
    with pytest.raises(HeldForGood, match="evolve partition split orders --resume") as stopped:
        politely(orders, Politeness(throttling=throttling), Watcher())
    assert "the house burns" in str(stopped.value)
    assert acted(orders, "resume").state == "swapped"


def test_who_waits_for_a_worker_is_seen(orders: str) -> None:
    eye = Eye(orders)
    with (
        psycopg.connect(orders, application_name="evolve partition worker") as worker,
        psycopg.connect(orders) as client,
    ):
        worker.execute("UPDATE orders SET note = 'held' WHERE id = 1")
        waiting = threading.Thread(
            target=client.execute, args=("UPDATE orders SET note = 'late' WHERE id = 1",)
        )
        assert Waiters(eye, None).read().value == 0
        waiting.start()
        wait_until(lambda: (Waiters(eye, None).read().value or 0) > 0)
        assert Sessions(eye, None).read().value == 1
        worker.rollback()
        waiting.join()
    eye.close()


def test_it_is_seen_from_elsewhere_how_far_it_is(orders: str) -> None:
    seen: list[AtWork | None] = []

    class Looks(Watcher):
        def progresses(
            self, step: object, rows: int, total: int, rows_per_second: float | None, size: int
        ) -> None:
            if isinstance(step, Copy) and not seen:
                seen.append(partition_status(orders, {}, ORDERS, NOW, look=0.01).at_work)

    converted(orders, move(orders, "split"), Looks())
    found = seen[0]
    assert found is not None
    assert found.rows > 0
    assert found.total
    assert "pid" in found.who
    assert partition_status(orders, {}, ORDERS, NOW).at_work is None


def test_a_rate_tells_how_long_it_will_take() -> None:
    assert AtWork("pid 1", 100, 300, 50.0).seconds_left == 4.0
    assert AtWork("pid 1", 100, None, 50.0).seconds_left is None
    assert AtWork("pid 1", 400, 300, 50.0).seconds_left == 0.0


@pytest.fixture
def repeatable(orders: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(orders) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection


def test_a_delete_of_a_row_that_its_transaction_cannot_see_copied_is_to_be_tried_again(
    orders: str, repeatable: psycopg.Connection[tuple[object, ...]]
) -> None:
    class Deletes(Watcher):
        def begins(self, track: object, step: object, number: int, total: int) -> None:
            if isinstance(step, Copy):
                repeatable.execute("SELECT FROM orders LIMIT 1")

        def ends(self, track: object, step: object, number: int, total: int, seconds: float) -> None:
            if isinstance(step, Copy):
                delete = "DELETE FROM orders WHERE id = (SELECT min(id) FROM orders_p2026_07)"
                with pytest.raises(psycopg.errors.SerializationFailure):
                    repeatable.execute(delete)
                repeatable.rollback()
                repeatable.execute(delete)
                repeatable.commit()

    assert converted(orders, move(orders, "split"), Deletes()).state == "swapped"
    assert len(rows_of(orders)) == 999


def test_a_delete_of_a_row_that_is_not_copied_yet_passes(
    orders: str, repeatable: psycopg.Connection[tuple[object, ...]]
) -> None:
    class Deletes(Watcher):
        def begins(self, track: object, step: object, number: int, total: int) -> None:
            if isinstance(step, Copy):
                repeatable.execute("DELETE FROM orders WHERE id = (SELECT min(id) FROM orders_p2026_07)")
                repeatable.commit()

    assert converted(orders, move(orders, "split"), Deletes()).state == "swapped"
    assert len(rows_of(orders)) == 999


def test_nobody_else_may_hang_the_triggers_on_a_table_of_his_own(orders: str) -> None:
    converted(orders, move(orders, "split"))
    execute(
        orders,
        "GRANT USAGE ON SCHEMA evolve TO orders_app; GRANT CREATE ON SCHEMA public TO orders_app;"
        "GRANT SELECT, UPDATE ON orders TO orders_app",
    )
    function = scalar(
        orders, "SELECT min(oid)::regproc::text FROM pg_proc WHERE proname ~ '^partition_forward'"
    )
    with psycopg.connect(orders, autocommit=True) as connection:
        connection.execute("SET ROLE orders_app")
        connection.execute("CREATE TABLE own (LIKE orders)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for function"):
            connection.execute(
                f"CREATE TRIGGER mine AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION {function}()".encode()
            )
        changed = connection.execute("UPDATE orders SET note = 'still' WHERE created_at < '2026-08-01'")
        assert changed.rowcount > 0
