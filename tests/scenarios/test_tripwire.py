"""`evolve tripwire`: the database tells who still writes what a change takes away."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 10) n;
"""


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> ChangeProject:
    users = ChangeProject(make_project(database_url), database_url, SCHEMA)
    users.ok("plan", "rename-column", "users.name", "full_name", "--write")
    users.ok("upgrade")
    users.ok("advance", CHANGE)
    users.ok("backfill", "run", CHANGE)
    users.ok("advance", CHANGE)
    users.ok("upgrade")
    users.ok("advance", CHANGE)  # switch
    return users


def write(
    users: ChangeProject, *statements: str, application: str = "web 41", role: str | None = None
) -> None:
    with psycopg.connect(users.url, autocommit=True, application_name=application) as connection:
        if role is not None:
            connection.execute(f"SET ROLE {role}".encode())
        for statement in statements:
            connection.execute(statement.encode())


def test_new_code_meets_none(users: ChangeProject) -> None:
    users.ok("tripwire", CHANGE)
    write(
        users,
        "UPDATE users SET full_name = 'new' WHERE id = 1",
        "INSERT INTO users (id, full_name) VALUES (11, 'new')",
        "DELETE FROM users WHERE id = 2",
    )
    assert users.sql("SELECT name FROM users WHERE id IN (1, 11)") == [("new",), ("new",)]
    assert "ok   nobody has written users.name" in users.ok("advance", CHANGE, "--old-code-gone")
    assert users.sql("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_evolve_trip%'") == [(0,)]
    users.ok("upgrade")
    users.ok("advance", CHANGE, "--purge-approved")
    users.ok("upgrade")


def test_old_code_meets_it(users: ChangeProject) -> None:
    users.ok("tripwire", CHANGE)
    write(users, *["UPDATE users SET name = 'my secret' WHERE id = 1"] * 3)
    assert users.sql("SELECT full_name FROM users WHERE id = 1") == [("my secret",)]
    shut = users.run("advance", CHANGE, "--old-code-gone")
    assert shut.returncode == 1
    assert "web 41" in shut.stdout
    assert "UPDATE users SET name = '…' WHERE id = 1" in shut.stdout
    assert "my secret" not in shut.stdout
    assert users.sql("SELECT count(*) FROM evolve.tripwire_hit") == [(1,)]  # a session tells once a minute
    users.ok("tripwire", CHANGE)  # anew
    users.ok("advance", CHANGE)


def test_a_session_that_has_told_tells_one_that_is_armed_anew(users: ChangeProject) -> None:
    with psycopg.connect(users.url, autocommit=True, application_name="web 41") as old:
        for _ in range(2):
            users.ok("tripwire", CHANGE)
            old.execute("UPDATE users SET name = 'old' WHERE id = 1")
            assert users.sql("SELECT count(*) FROM evolve.tripwire_hit") == [(1,)]


def test_it_fails_no_writer(users: ChangeProject) -> None:
    users.sql("DO $$ BEGIN CREATE ROLE trip_client; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    users.sql("GRANT SELECT, UPDATE ON users TO trip_client")
    users.ok("tripwire", CHANGE)
    write(
        users, "UPDATE users SET name = 'a' WHERE id = 1", role="trip_client"
    )  # who may not see schema evolve
    assert users.sql("SELECT count(*) FROM evolve.tripwire_hit") == [(1,)]
    users.sql("DROP TABLE evolve.tripwire_hit")
    write(users, "UPDATE users SET name = 'b' WHERE id = 1", role="trip_client")
    assert users.sql("SELECT full_name FROM users WHERE id = 1") == [("b",)]
    users.sql("DROP OWNED BY trip_client")


def test_it_waits_for_no_lock_longer_than_others_can_bear(users: ChangeProject) -> None:
    with psycopg.connect(users.url) as reader:
        reader.execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")
        reader.execute("SET LOCAL idle_in_transaction_session_timeout = '3s'")
        users.ok("tripwire", CHANGE)  # once the other is gone
        with pytest.raises(psycopg.Error):
            reader.execute("SELECT")


def test_disarmed(users: ChangeProject) -> None:
    users.ok("tripwire", CHANGE)
    assert "are gone" in users.ok("tripwire", CHANGE, "--disarm")
    write(users, "UPDATE users SET name = 'old' WHERE id = 1")
    users.ok("advance", CHANGE, "--old-code-gone")
    assert "none was armed" in users.ok("tripwire", CHANGE, "--disarm")


@pytest.mark.parametrize(
    "deafened",
    ["DROP TRIGGER zz_evolve_trip_{} ON users", "ALTER TABLE users DISABLE TRIGGER zz_evolve_trip_{}"],
)
def test_one_that_cannot_tell_is_not_taken_for_silent(users: ChangeProject, deafened: str) -> None:
    users.ok("tripwire", CHANGE)
    users.sql(deafened.format(CHANGE))
    shut = users.run("advance", CHANGE, "--old-code-gone")
    assert shut.returncode == 1
    assert "is gone or disabled" in shut.stdout
    users.ok("tripwire", CHANGE)
    users.ok("advance", CHANGE)


def test_undo_takes_it_away(users: ChangeProject) -> None:
    users.ok("tripwire", CHANGE)
    users.ok("undo", CHANGE, "--write")
    assert users.sql("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_evolve_trip%'") == [(0,)]


def test_a_table_that_is_gone_can_have_none(users: ChangeProject) -> None:
    users.ok("tripwire", CHANGE)
    users.sql("DROP TABLE users")
    assert users.run("tripwire", CHANGE).returncode == 1


def test_who_writes_a_partition_by_its_own_name_meets_it(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    users = ChangeProject(
        make_project(database_url),
        database_url,
        "CREATE TABLE users (id bigint, name text) PARTITION BY LIST (id);"
        "CREATE TABLE users_1 PARTITION OF users FOR VALUES IN (1);"
        "CREATE TABLE users_2 PARTITION OF users FOR VALUES IN (2)",
    )
    users.ok("plan", "drop-table", "users", "--write")
    users.ok("advance", "drop_users")
    users.ok("tripwire", "drop_users")
    write(users, "UPDATE users_1 SET name = 'old' WHERE id = 1")
    assert "web 41" in users.run("advance", "drop_users", "--old-code-gone").stdout
    users.sql("DROP TABLE users_2")
    users.ok("tripwire", "drop_users")
    users.ok("advance", "drop_users")
    users.ok("upgrade")


def test_one_that_fires_for_a_subscription_alone_is_deaf(users: ChangeProject) -> None:
    users.ok("tripwire", CHANGE)
    trigger = users.sql("SELECT quote_ident(tgname) FROM pg_trigger WHERE tgname LIKE 'zz_evolve_trip%'")
    users.sql(f"ALTER TABLE users ENABLE REPLICA TRIGGER {trigger[0][0]}")
    assert "is gone or disabled" in users.run("advance", CHANGE, "--old-code-gone").stdout
