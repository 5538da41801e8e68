"""The registry of deployed versions on a real server: who may tell it what, and what it knows of whom."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest
from psycopg import conninfo
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import ProgrammingError
from support.alembic_project import sqlalchemy_url
from support.deployed import deployed, rows, told, until
from support.renaming import NewBase, OldBase

from evolve import client
from evolve.plan.gate_sql import SHUT, Conditions, gate_block, place_text
from evolve.plan.gates import Rules
from evolve.plan.model import NotMapped
from evolve.postgres import registry
from evolve.postgres.connect import Connection
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

USERS = QualifiedName("users")
NAME = NotMapped("contract", ((USERS, "name"),))

# What an application would be that says nothing at its end.
PROCESS = """
import sys, time
from evolve import client
import psycopg
client.heartbeat(lambda: psycopg.connect(sys.argv[1]), version="2026.10", maps={"users": ["name"]}, interval=0.5)
time.sleep(60)
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (id int, name text)")
        registry.install(connection)
        yield connection


@pytest.fixture
def role(connection: Connection, database_url: str) -> Iterator[str]:
    """The URL of a role that may do nothing but what everybody may."""
    name = f"evolve_app_{os.getpid()}"
    connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'app'".encode())
    yield conninfo.make_conninfo(database_url, user=name, password="app")  # noqa: S106
    connection.execute(f"DROP ROLE {name}".encode())


def beat(url: str, instance: str, mapped: object = (), **said: object) -> object:
    """One heartbeat as a client of its own making might send it."""
    with psycopg.connect(url) as connection:
        told = {"instance": instance, "version": "1", "application": "a", "process": "p", "lives": 60, **said}
        return connection.execute(
            "SELECT evolve_client.heartbeat(%s, %s, current_schemas(false))",
            (json.dumps(told), json.dumps(mapped)),
        ).fetchone()


ONE = "00000000-0000-4000-8000-000000000001"


def open_(connection: Connection, gate: NotMapped = NAME) -> bool:
    return registry.observe(connection, gate, Rules()).open


def test_a_connection_carries_the_version_in_its_name(connection: Connection, database_url: str) -> None:
    with deployed(database_url, NewBase, "2026.11") as engine, engine.connect() as session:
        assert session.scalar(text("SELECT current_setting('application_name')")) == "app@2026.11"


def test_where_nobody_reports_a_project_may_require_that_somebody_does(connection: Connection) -> None:
    seen = registry.observe(connection, NAME, Rules())
    assert seen.open
    assert "only somebody's word tells" in seen.observed
    assert not registry.observe(connection, NAME, Rules(registry="required")).open


def test_a_killed_instance_counts_until_it_was_silent_for_long_enough(
    connection: Connection, database_url: str
) -> None:
    with subprocess.Popen([sys.executable, "-c", PROCESS, database_url]) as process:
        until(lambda: not open_(connection))
        process.send_signal(signal.SIGKILL)
    assert not open_(connection)
    until(lambda: open_(connection))
    assert [each.state for each in registry.instances(connection)] == ["lost"]


def test_a_job_counts_on_after_its_end(connection: Connection, database_url: str) -> None:
    heart = client.heartbeat(
        lambda: psycopg.connect(database_url), version="7", maps={"users": None}, interval=0.2, lives=3600
    )
    until(lambda: told(database_url, "7"))
    heart.leave()
    assert not open_(connection)
    assert registry.forget(connection, "7", None) == 1
    assert open_(connection)


def test_a_client_waits_for_the_registry(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    heart = client.register(engine, version="1", models=OldBase, interval=0.2)
    engine.connect().close()
    with psycopg.connect(database_url, autocommit=True) as connection:
        registry.install(connection)
    until(lambda: told(database_url, "1"))
    heart.leave()
    assert [
        each[0] for each in rows(database_url, "SELECT gone IS NOT NULL FROM evolve_client.instance")
    ] == [True]


def test_an_application_does_not_notice_that_heartbeats_fail(
    connection: Connection, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection.execute(
        "CREATE OR REPLACE FUNCTION evolve_client.heartbeat(said text, mapped text, search name[]) RETURNS boolean"
        " LANGUAGE sql AS 'SELECT pg_terminate_backend(pg_backend_pid())'"
    )
    caplog.set_level(logging.DEBUG, "evolve.client")
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    heart = client.register(engine, version="1", models=OldBase, interval=0.2)
    engine.connect().close()
    until(lambda: bool(caplog.records))
    heart.leave()
    assert {(each.name, each.levelname) for each in caplog.records} == {("evolve.client", "DEBUG")}


def test_a_forked_process_is_an_instance_of_its_own(connection: Connection, database_url: str) -> None:
    code = """
import os, sys, time
from evolve import client
from sqlalchemy import create_engine
engine = create_engine(sys.argv[1])
client.register(engine, version="1", maps={"users": None}, interval=0.2)
engine.connect().close()
time.sleep(1)
if os.fork() == 0:
    engine.dispose(close=False)
    engine.connect().close()
    time.sleep(60)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, sqlalchemy_url(database_url)], start_new_session=True
    )
    try:
        until(lambda: len(registry.instances(connection)) == 2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert len({each.process for each in registry.instances(connection)}) == 2


def test_what_the_server_refuses_is_told_at_once(connection: Connection, database_url: str) -> None:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    since = row[0]
    assert isinstance(since, datetime)
    connection.execute("ALTER TABLE users DROP COLUMN name")
    engine = create_engine(sqlalchemy_url(database_url))
    heart = client.register(engine, version="2026.10", models=OldBase, interval=600)
    with engine.connect() as session:
        for _ in range(3):
            with pytest.raises(ProgrammingError):
                session.execute(text("SELECT name FROM users"))
            session.rollback()
    engine.dispose()
    until(lambda: sum(each.count for each in registry.denials(connection, since)) == 3)
    heart.leave()
    [denials] = registry.denials(connection, since)
    assert (denials.version, denials.sqlstate) == ("2026.10", "42703")
    assert denials.message == 'column "name" does not exist'


@pytest.mark.parametrize(
    ("path", "place", "mapped", "is_open"),
    [
        ("public", (USERS, "name"), [[None, "users", ["name"]]], False),
        ("public", (USERS, "name"), [[None, "users", ["id"]]], True),
        ("public", (USERS, "name"), [[None, "users", None]], False),
        ("public", (USERS, None), [["public", "users", ["id"]]], False),
        ("public", (USERS, "name"), [["other", "users", ["name"]]], True),
        # Found in the path before: another table of that name.
        ("other, public", (USERS, "name"), [[None, "users", ["name"]]], True),
        # Found nowhere in the path: it may be any.
        ("pg_catalog", (USERS, "name"), [[None, "users", ["name"]]], False),
    ],
)
def test_which_column_is_meant(
    connection: Connection,
    database_url: str,
    path: str,
    place: tuple[QualifiedName, str | None],
    mapped: object,
    is_open: bool,
) -> None:
    connection.execute("CREATE SCHEMA other CREATE TABLE users (id int, name text)")
    url = conninfo.make_conninfo(database_url, options=f"-c search_path={path.replace(' ', '')}")
    digest = "x"
    beat(url, ONE, mapped, digest=digest)
    connection.execute(
        "UPDATE evolve_client.instance SET digest = (SELECT digest FROM evolve_client.mapping)"
    )
    assert open_(connection, NotMapped("contract", (place,))) is is_open


def test_names_that_mean_ill(connection: Connection, database_url: str) -> None:
    table, column = 'U "$evolve$" é', "it's; -- \\ :a %s\n"
    heart = client.heartbeat(
        lambda: psycopg.connect(database_url),
        version="'; --",
        application="$$ % \0",
        maps={table: [column]},
        interval=0.2,
    )
    place = (QualifiedName(table), column)
    block = gate_block("x", Conditions(phase="contract", unmapped=(place_text(place),)))
    until(lambda: not open_(connection, NotMapped("contract", (place,))))
    with pytest.raises(psycopg.Error, match="maps U") as refused:
        connection.execute(block.encode())
    assert refused.value.sqlstate == SHUT
    heart.leave()
    connection.execute(block.encode())


def test_what_acts_on_a_terminal_is_not_kept(connection: Connection, database_url: str) -> None:
    acts = "a\x1b]0;x\a"
    denied = [{"sqlstate": "42501", "message": acts, "count": 1}]
    beat(database_url, ONE, version=acts, application=acts, process=acts, denied=denied)
    [version] = registry.versions(connection)
    [message] = [str(each[0]) for each in rows(database_url, "SELECT message FROM evolve_client.denial")]
    told = version.application + version.version + version.instances[0].process + message
    assert "\x1b" not in told
    assert "\a" not in told


def test_a_version_that_has_not_told_what_it_maps_may_map_anything(
    connection: Connection, database_url: str
) -> None:
    beat(database_url, ONE, [], digest="of something else")
    seen = registry.observe(connection, NAME, Rules())
    assert not seen.open
    assert "has not told yet what it maps" in seen.observed


def test_a_role_without_any_right_may_report_and_nothing_else(connection: Connection, role: str) -> None:
    beat(role, ONE)
    assert [each.role for each in registry.instances(connection)] == [conninfo.conninfo_to_dict(role)["user"]]
    for statement in ("SELECT FROM evolve_client.instance", "SELECT evolve_client.in_use('[]')"):
        with psycopg.connect(role) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(statement)


def test_nobody_ends_an_instance_of_another_role(
    connection: Connection, database_url: str, role: str
) -> None:
    beat(database_url, ONE)
    with psycopg.connect(role) as session:
        session.execute("SELECT evolve_client.farewell(%s)", (ONE,))
    beat(role, ONE, version="2")
    assert {(each.version, each.state) for each in registry.instances(connection)} == {
        ("1", "live"),
        ("2", "live"),
    }


@pytest.mark.parametrize(
    "mapped",
    [
        [["public", "users"], "x"],
        {"users": []},
        [[1, "users", None]],
        [[None, None, None]],
        [[None, "users", {"name": 1}]],
        [[None, "x" * 1_100_000, None]],
    ],
)
def test_what_is_no_mapping_is_not_kept(connection: Connection, database_url: str, mapped: object) -> None:
    with pytest.raises((psycopg.errors.InvalidParameterValue, psycopg.errors.ProgramLimitExceeded)):
        beat(database_url, ONE, mapped)
    assert open_(connection)


def test_a_rogue_client_fills_no_disk(connection: Connection, database_url: str) -> None:
    connection.execute(
        "INSERT INTO evolve_client.instance (role, instance, application, version, process, digest, path, lives)"
        " SELECT session_user, gen_random_uuid(), '', '', '', '', '{}', '1 hour' FROM generate_series(1, 5000)"
    )
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        beat(database_url, ONE)
    connection.execute("UPDATE evolve_client.instance SET gone = clock_timestamp()")
    beat(database_url, ONE)
    assert rows(database_url, "SELECT count(*) FROM evolve_client.instance") == [(1001,)]


def test_only_named_roles_may_report(connection: Connection, role: str) -> None:
    registry.install(connection, roles=["pg_monitor"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        beat(role, ONE)


def test_a_registry_that_a_stranger_has_made_is_neither_asked_nor_brought_up_to_date(
    connection: Connection, role: str
) -> None:
    connection.execute("DROP SCHEMA evolve_client CASCADE")
    name = conninfo.conninfo_to_dict(role)["user"]
    connection.execute(f"GRANT CREATE ON DATABASE {connection.info.dbname} TO {name}".encode())
    with psycopg.connect(role, autocommit=True) as stranger:
        stranger.execute("CREATE SCHEMA evolve_client")
        stranger.execute(
            "CREATE FUNCTION evolve_client.in_use(text) RETURNS text LANGUAGE plpgsql AS $$"
            " BEGIN RAISE 'run as %', current_user; END $$"
        )
    try:
        with pytest.raises(registry.StrangeRegistry):
            registry.install(connection)
        with pytest.raises(registry.StrangeRegistry):
            open_(connection)
        with pytest.raises(psycopg.Error, match="may not ask") as refused:
            connection.execute(
                gate_block("x", Conditions(phase="contract", unmapped=("users.name",))).encode()
            )
        assert refused.value.sqlstate == SHUT
    finally:
        connection.execute(f"DROP OWNED BY {name}".encode())


def test_the_script_does_what_the_command_does(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(registry.script(readers=["pg_monitor"]).encode())
        assert registry.installed_version(connection) == registry.VERSION
        connection.execute("SET ROLE pg_monitor")
        assert registry.versions(connection) == []
