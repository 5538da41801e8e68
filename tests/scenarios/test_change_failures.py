"""What went wrong elsewhere when a schema was changed under traffic, each as a test that it does not go wrong here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from support.renaming import CHANGE, SCENE

from evolve.testing.phase_harness import Broken, Road
from evolve.testing.phase_harness.commands import Death

pytestmark = pytest.mark.server


@pytest.fixture
def road(database_url: str, tmp_path: Path) -> Iterator[Road]:
    with Road(SCENE, database_url, tmp_path) as made:
        yield made


def sql(road: Road, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(road.url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def forward_until(road: Road, command: str) -> None:
    """To where `command` is the next."""
    while (standing := road.standing()) is None or not standing.next.startswith(command):
        assert road.forward() is not None


# -- a backfill is killed, and its change is completed all the same --------------------------------------------
def test_a_half_filled_change_cannot_be_contracted(road: Road) -> None:
    forward_until(road, "evolve backfill run")
    killed = road.forward(Death(let_by=10))
    assert killed is not None
    assert killed.killed
    assert sql(road, "SELECT count(*) > 100 FROM users WHERE full_name IS NULL") == [(True,)]
    assert road.run("advance", CHANGE).status == 1
    assert road.run("advance", CHANGE, "--old-code-gone").status == 2
    road.run("upgrade")
    road.check()
    assert sql(road, "SELECT count(*) FROM users WHERE name IS NULL") == [(0,)]
    while road.forward() is not None:
        road.check()
    road.crowd.stop()  # every row of the beginning is looked at once more
    road.check()


# -- a step fails late, when old clients have lost their shape already -----------------------------------------
def test_a_not_null_that_fails_leaves_old_clients_working(road: Road) -> None:
    road.to("backfill")
    road.forward()  # validate is written
    road.crowd.stop_new()
    # In one transaction, which no client sees the middle of: more rows than the gate fills by itself.
    sql(
        road,
        "ALTER TABLE users DROP CONSTRAINT evolve_users_full_name_not_null, DISABLE TRIGGER USER; "
        "INSERT INTO users (name, visits) SELECT 'late ' || n, 0 FROM generate_series(1, 1100) n; "
        "ALTER TABLE users ENABLE ALWAYS TRIGGER zz_evolve_rename_users_name_to_full_name",
    )
    assert road.run("upgrade").status == 1
    before = sum(client.transactions for client in road.crowd.old)
    road.settle(1.0)
    assert sum(client.transactions for client in road.crowd.old) > before + 10
    road.crowd.stop()
    assert road.crowd.failures == []


# -- direction is taken from the session, and a session is not as it was thought -------------------------------
@pytest.mark.parametrize(
    ("path", "table"),
    [("v2, public", "users"), ("public, v2", "users"), ("v2", "public.users"), ("", "public.users")],
)
def test_new_clients_are_known_by_their_values(road: Road, path: str, table: str) -> None:
    road.to("expand")
    sql(road, "CREATE SCHEMA v2")
    with psycopg.connect(road.url, autocommit=True) as connection:
        connection.execute("SELECT set_config('search_path', %s, false)", (path,))
        connection.execute(f"INSERT INTO {table} (full_name) VALUES ('new one')".encode())
        connection.execute(f"INSERT INTO {table} (name) VALUES ('old one')".encode())
        connection.execute(f"INSERT INTO {table} (name) VALUES ('third')".encode())
        connection.execute(f"UPDATE {table} SET full_name = 'newer' WHERE name = 'third'".encode())
    rows = sql(road, "SELECT name, full_name FROM users WHERE full_name IN ('new one', 'old one', 'newer')")
    assert sorted(rows) == [("new one", "new one"), ("newer", "newer"), ("old one", "old one")]


# -- a check before its trigger, a column gone before its trigger ----------------------------------------------
def test_expand_aborts_no_old_writer(road: Road) -> None:
    for _ in range(3):
        road.settle(0.2)
        road.to("expand")
        road.to_the_start()
    road.crowd.stop()
    assert [client.failures for client in road.crowd.all] == [[]] * len(road.crowd.all)
    assert min(client.transactions for client in road.crowd.all if client.version is SCENE.old) > 10


def test_contract_aborts_no_new_writer(road: Road) -> None:
    road.to("switch")
    for _ in range(3):
        road.to("contract")
        road.settle(0.2)
        road.back()
    road.to("purge")
    road.settle(0.3)
    road.crowd.stop()
    road.check()


# -- a reader that stays, and everybody who queues up behind what waits for it ----------------------------------
@contextmanager
def readers_that_stay(road: Road, seconds: float) -> Iterator[None]:
    """One transaction after another that has read the table and stays open, as reports do; they overlap by a little."""
    ended = threading.Event()

    def read() -> None:
        with psycopg.connect(road.url, application_name="report") as connection:
            while not ended.is_set():
                connection.execute("SELECT count(*) FROM users")
                ended.wait(seconds)
                connection.rollback()
                ended.wait(0.4)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


@pytest.mark.parametrize(
    "phase",
    ["expand", "contract", *(pytest.param(phase, marks=pytest.mark.long) for phase in ("validate", "purge"))],
)
def test_nobody_waits_longer_than_a_lock_timeout(road: Road, phase: str) -> None:
    """A report is open, ends, and another begins, also between two statements of ours."""
    while (
        (standing := road.standing()) is None or phase not in standing.entering() or not standing.not_applied
    ):
        assert road.forward() is not None
    road.settle(0.5)
    with readers_that_stay(road, 1.2):
        road.settle(0.3)
        for _ in range(5):
            # A revision of which a part is permanent is not tried again by itself when a lock is not to be had.
            with suppress(Broken):
                road.forward()
                break
    standing = road.standing()
    assert standing is not None
    assert not standing.not_applied
    road.crowd.stop()
    road.check()
    road.check_waits(0.1)


# -- tries without an end, errors without an effect ------------------------------------------------------------
@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [(("--retries", "2"), 1.0, 30.0), (("--retries", "1000", "--budget", "1"), 0.1, 30.0)],
)
def test_tries_come_to_an_end(road: Road, limits: tuple[str, ...], least: float, most: float) -> None:
    road.forward()
    with psycopg.connect(road.url) as reader:
        reader.execute("SELECT count(*) FROM users")
        began = time.monotonic()
        ended = road.run("upgrade", "--lock-timeout", "100", *limits)
        took = time.monotonic() - began
    assert ended.status == 1
    assert "did not get its lock" in ended.stderr
    assert least < took < most
    road.check_rolled_back()
    road.check()


def test_a_trigger_that_cannot_be_made_leaves_nothing(road: Road) -> None:
    road.forward()
    sql(
        road,
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION 'no trigger today'; END $$; "
        "CREATE EVENT TRIGGER no_triggers ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER') "
        "EXECUTE FUNCTION refuse()",
    )
    ended = road.run("upgrade")
    assert ended.status == 1
    assert "no trigger today" in ended.stderr
    road.check_rolled_back()
    assert sql(road, "SELECT count(*) FROM pg_proc WHERE pronamespace = to_regnamespace('evolve')") == [(0,)]
    road.settle(0.3)
    road.check()
