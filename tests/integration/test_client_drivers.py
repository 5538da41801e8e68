"""`evolve.client` over each driver that it serves, and what it costs an application whose registry is not to be had."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import StaticPool, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from support.deployed import rows, told, until
from support.renaming import OldBase

from evolve import client
from evolve.postgres import registry

pytestmark = pytest.mark.server

GONE = "SELECT gone IS NOT NULL FROM evolve_client.instance"
REFUSED = "SELECT sqlstate, sum(count)::int FROM evolve_client.denial GROUP BY 1"


@pytest.fixture
def url(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (id int)")
        registry.install(connection)
    return database_url


def of(driver: str, url: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_an_engine(url: str, driver: str) -> None:
    engine = create_engine(of(driver, url))
    heart = client.register(engine, version="7", models=OldBase, application="shop", interval=0.2)
    with engine.connect() as session:
        assert session.scalar(text("SELECT current_setting('application_name')")) == "shop@7"
        with pytest.raises(ProgrammingError):
            session.execute(text("SELECT name FROM users"))
    until(lambda: told(url, "7") and rows(url, REFUSED) == [("42703", 1)])
    heart.leave()
    engine.dispose()
    assert rows(url, GONE) == [(True,)]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_an_async_engine(url: str, driver: str) -> None:
    async def application() -> None:
        async with running(url, driver) as engine, engine.connect() as session:
            assert await session.scalar(text("SELECT current_setting('application_name')")) == "shop@7"
            with pytest.raises(ProgrammingError):
                await session.execute(text("SELECT name FROM users"))
            await asyncio.to_thread(until, lambda: told(url, "7") and rows(url, REFUSED) == [("42703", 1)])

    asyncio.run(application())
    assert rows(url, GONE) == [(True,)]


@asynccontextmanager
async def running(url: str, driver: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(of(driver, url))
    heart = client.register(engine, version="7", models=OldBase, application="shop", interval=0.2)
    yield engine
    await asyncio.to_thread(heart.leave)
    await engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_code_without_sqlalchemy(url: str, driver: str) -> None:
    connect = import_module(driver).connect
    heart = client.heartbeat(lambda: connect(url), version="7", maps={"users": ["name"]}, interval=0.2)
    until(lambda: told(url, "7"))
    heart.leave()
    assert rows(url, GONE) == [(True,)]


def test_a_connection_that_the_application_shares_is_not_spoken_over(url: str) -> None:
    shared = psycopg.connect(url)
    engine = create_engine("postgresql+psycopg://", creator=lambda: shared, poolclass=StaticPool)
    heart = client.register(engine, version="7", models=OldBase, interval=0.1)
    with engine.connect() as session:
        session.execute(text("INSERT INTO users VALUES (1)"))
        time.sleep(1.5)  # the first heartbeat comes within a second
        assert rows(url, "SELECT FROM users") == []
    heart.leave()
    shared.close()


def test_who_has_left_does_not_come_back_in_a_forked_process(url: str) -> None:
    code = """
import os, sys, time
import psycopg
from evolve import client
heart = client.heartbeat(lambda: psycopg.connect(sys.argv[1]), version="7", maps={"users": None}, interval=0.1)
with psycopg.connect(sys.argv[1], autocommit=True) as witness:
    while witness.execute("SELECT count(*) FROM evolve_client.instance").fetchone() == (0,):
        time.sleep(0.05)
heart.leave()
if os.fork() == 0:
    time.sleep(1.5)
    os._exit(0)
os.wait()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, url], check=True)
    assert rows(url, GONE) == [(True,)]


# -- where it cannot be told ----------------------------------------------------------------------------------------
def test_a_server_that_is_away_is_the_applications_own_error_and_no_other() -> None:
    engine = create_engine("postgresql+psycopg://me:secret@127.0.0.1:1/nowhere")
    heart = client.register(engine, version="7", models=OldBase, interval=0.1)
    before = {thread.name for thread in threading.enumerate()}
    for _ in range(3):
        with pytest.raises(OperationalError, match="refused"):
            engine.connect()
    # It has never connected, so nothing has begun to try it again and again.
    assert {thread.name for thread in threading.enumerate()} <= before
    heart.leave()


@pytest.mark.parametrize("missing", ["the registry", "the privilege", "the function"])
def test_a_server_that_knows_no_registry_is_not_sent_what_fails(url: str, missing: str) -> None:
    role = f"evolve_mute_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        if missing == "the registry":
            connection.execute("DROP SCHEMA evolve_client CASCADE")
        elif missing == "the privilege":
            registry.install(connection, roles=["pg_monitor"])
        else:
            connection.execute("DROP FUNCTION evolve_client.heartbeat")
        ((data,),) = connection.execute("SHOW data_directory").fetchall()
        log = Path(str(data)).parent / "log"
        if not log.exists():
            pytest.skip("the server's log is not on this machine")
        heard = log.stat().st_size
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'mute'".encode())
        engine = create_engine(of("psycopg", f"postgresql://{role}:mute@{url.partition('@')[2]}"))
        beats: list[object] = []
        heart = client.register(engine, version="7", models=OldBase, interval=0.1)
        transact = heart.transact
        assert transact is not None
        heart.transact = lambda talk: beats.append(transact(talk))
        engine.connect().close()
        until(lambda: len(beats) > 2)
        heart.leave()
        engine.dispose()
        connection.execute(f"DROP ROLE {role}".encode())
    assert b"evolve_client" not in log.read_bytes()[heard:]


def test_a_registry_that_hangs_keeps_nobody_waiting(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION evolve_client.heartbeat(said text, mapped text, search name[]) RETURNS boolean"
            " LANGUAGE sql AS 'SELECT pg_sleep(60) IS NULL'"
        )
        engine = create_engine(of("psycopg", url), pool_size=1, max_overflow=0, pool_timeout=1)
        heart = client.register(engine, version="7", models=OldBase, interval=0.1)
        engine.connect().close()
        hanging = "SELECT count(*)::int FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        until(lambda: rows(url, hanging) == [(3,)])
        for _ in range(20):
            engine.connect().close()  # the only place of the pool is the application's
        time.sleep(0.5)
        assert rows(url, hanging) == [(3,)]  # and no more of them are begun
        began = time.monotonic()
        heart.leave()
        assert time.monotonic() - began < 30  # of the 60 that the registry takes
        engine.dispose()
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        )
