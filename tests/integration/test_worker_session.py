"""What a transaction of a worker asks of the server."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from evolve.postgres import scratch
from evolve.postgres.connect import Connection
from evolve.postgres.session import Session, Timeouts

pytestmark = pytest.mark.server


def setting(connection: Connection, name: str) -> object:
    return (connection.execute("SELECT current_setting(%s)", (name,)).fetchone() or [None])[0]


def test_its_limits_end_with_the_transaction(database_url: str) -> None:
    with closing(Session(database_url, "evolve", Timeouts(lock=123))) as session:
        with session.transaction() as connection:
            within = setting(connection, "lock_timeout")
        assert (within, setting(session.current(), "lock_timeout")) == ("123ms", "0")


def test_a_batch_waits_for_no_disk_where_a_crash_loses_cursor_and_rows_alike() -> None:
    with scratch.server(settings={"synchronous_commit": "on"}) as server:
        url = server.create_database()
        with closing(Session(url, "evolve", lasting=False)) as session:
            with session.transaction() as connection:
                within = setting(connection, "synchronous_commit")
            assert (within, setting(session.current(), "synchronous_commit")) == ("off", "on")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'")
            connection.execute("SELECT pg_reload_conf()")
            waiting = "SELECT current_setting('synchronous_standby_names')"
            while connection.execute(waiting).fetchone() != ("away",):
                pass
            with closing(Session(url, "evolve", lasting=False)) as session, session.transaction() as reading:
                kept = setting(reading, "synchronous_commit")
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")
        assert kept == "on"


def test_what_has_effects_elsewhere_lasts(database_url: str) -> None:
    with closing(Session(database_url, "evolve")) as session, session.transaction() as connection:
        within = setting(connection, "synchronous_commit")
    with psycopg.connect(database_url) as plain:
        row = plain.execute("SHOW synchronous_commit").fetchone()
    assert (within,) == row
