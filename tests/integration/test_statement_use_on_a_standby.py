"""Readers of a streaming standby count as those of the primary do; a standby that cannot be asked shuts the gate."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from support.counting import AT_ONCE, COUNTS, Counted, counted, counting
from support.standby import Streaming, streaming

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def servers() -> Iterator[Streaming]:
    with counting(lambda provider: streaming(COUNTS, provider)) as servers:
        yield servers


@pytest.fixture
def database(servers: Streaming) -> Iterator[Counted]:
    """Of the primary, replayed by the standby, which the gate knows."""
    with psycopg.connect(servers.primary, autocommit=True) as admin:
        admin.execute("CREATE DATABASE app")
        try:
            with counted(on(servers.primary)) as database:
                servers.caught_up()
                database.rules = replace(AT_ONCE, replicas=(on(servers.standby),))
                yield database
        finally:
            admin.execute("DROP DATABASE app WITH (FORCE)")


def on(server: str) -> str:
    return f"{server.rpartition('/')[0]}/app"


def read(servers: Streaming, query: str) -> None:
    with psycopg.connect(on(servers.standby), autocommit=True) as reader:
        reader.execute(query.encode())


def test_a_reader_of_the_standby_shuts_it(servers: Streaming, database: Counted) -> None:
    database.advance()
    read(servers, "SELECT id, full_name FROM users")
    assert database.look().open
    read(servers, "SELECT name FROM users")
    seen = database.advance()
    assert not seen.open
    assert "SELECT name FROM users (names it)" in seen.observed
    assert database.look().open  # of the window that has begun now


def test_a_standby_that_lags_is_read_all_the_same(servers: Streaming, database: Counted) -> None:
    database.advance()
    with servers.lagging():
        database.run("INSERT INTO users (id) VALUES (1)")
        assert database.look().open
        read(servers, "SELECT * FROM users")
        assert "selects *" in database.look().observed


def test_a_standby_that_is_away_shuts_it_until_it_is_back(servers: Streaming, database: Counted) -> None:
    database.advance()
    servers.stop(signal.SIGINT)
    try:
        assert "it was not read: cannot connect" in database.look().observed
    finally:
        servers.start()
    assert database.look().open  # it has kept its counts


def test_counts_that_a_crash_of_the_standby_lost_shut_it(servers: Streaming, database: Counted) -> None:
    database.advance()
    with psycopg.connect(on(servers.standby), autocommit=True) as reader:
        reader.execute("SELECT name FROM users")
        os.kill(reader.info.backend_pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while "not read" in (seen := database.look()).observed and time.monotonic() < end:
        time.sleep(0.05)
    assert "the statistics were reset since" in seen.observed


def test_a_standby_that_nobody_has_named_shuts_it(servers: Streaming, database: Counted) -> None:
    servers.caught_up()
    database.rules = AT_ONCE
    database.advance()
    assert "standby follower: it may take reads, and was not looked at" in database.look().observed
    database.rules = replace(AT_ONCE, standbys_without_reads=("follower",))
    assert database.look().open


def test_a_standby_that_left_a_slot_is_not_forgotten(servers: Streaming, database: Counted) -> None:
    database.advance()
    with psycopg.connect(servers.primary, autocommit=True) as admin:
        admin.execute("SELECT pg_create_physical_replication_slot('away', true)")
        try:
            assert "follower" in (said := database.look().observed)
            assert "away" in said
        finally:
            admin.execute("SELECT pg_drop_replication_slot('away')")
    assert database.look().open


def test_one_standby_named_twice_does_not_stand_for_two(servers: Streaming, database: Counted) -> None:
    other = on(servers.standby).replace("127.0.0.1", "localhost")
    database.rules = replace(AT_ONCE, replicas=(on(servers.standby), other))
    assert "it is named twice" in database.advance().observed
