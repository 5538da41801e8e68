"""A column is hidden by taking privileges away, and exactly the same ones come back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from support.changes import Connection

from evolve.plan.change import Place
from evolve.postgres import brown_out, evidence
from evolve.postgres.connect import connect
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
USERS = QualifiedName("users")
NAME: list[Place] = [(USERS, "name")]
APP = "brown_app"
# That of a table which nobody was granted anything on is not written out.
ACL = """
    SELECT NULL AS column, x.* FROM pg_class c, aclexplode(coalesce(relacl, acldefault('r', relowner))) x
     WHERE oid = 'users'::regclass
    UNION ALL
    SELECT attname::text, x.* FROM pg_attribute, aclexplode(attacl) x WHERE attrelid = 'users'::regclass
"""


@dataclass
class Database:
    url: str
    owner: Connection

    def grants(self) -> set[tuple[object, ...]]:
        return set(self.owner.execute(ACL).fetchall())

    def hide(self, places: list[Place] = NAME) -> None:
        evidence.ensure_evidence(self.owner)
        brown_out.hide(self.owner, CHANGE, places, "ada", 60)

    def may(self, role: str, statement: str) -> bool:
        self.owner.execute(f"SET ROLE {role}".encode())
        try:
            self.owner.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return False
        finally:
            self.owner.execute("RESET ROLE")
        return True


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (id int PRIMARY KEY, name text, full_name text)")
        connection.execute(
            "DO $$ BEGIN CREATE ROLE brown_app; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        connection.execute(
            "DO $$ BEGIN CREATE ROLE brown_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        yield Database(database_url, connection)


GRANTS = {
    "of a table": "GRANT SELECT, INSERT, UPDATE, DELETE ON users TO brown_app",
    "with grant option": "GRANT SELECT, UPDATE ON users TO brown_app WITH GRANT OPTION;"
    " GRANT SELECT ON users TO brown_reader",
    "of columns": "GRANT SELECT (id, name), UPDATE (name) ON users TO brown_app WITH GRANT OPTION",
    "of both": "GRANT SELECT ON users TO brown_app; GRANT SELECT (name) ON users TO brown_app WITH GRANT OPTION;"
    " GRANT SELECT (id) ON users TO brown_app",
    "to everybody": "GRANT SELECT ON users TO PUBLIC; GRANT ALL ON users TO brown_app",
}


@pytest.mark.parametrize("grants", list(GRANTS.values()), ids=list(GRANTS))
@pytest.mark.parametrize("places", [NAME, [(USERS, None)]], ids=["column", "table"])
def test_what_was_taken_comes_back(database: Database, grants: str, places: list[Place]) -> None:
    database.owner.execute(grants.encode())
    before = database.grants()
    database.hide(places)
    assert not database.may("brown_app", "SELECT name FROM users")
    assert brown_out.give_back(database.owner, CHANGE)
    assert database.grants() == before
    assert not brown_out.give_back(database.owner, CHANGE)


def test_code_that_does_without_it_notices_nothing(database: Database) -> None:
    database.owner.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON users TO brown_app")
    database.hide()
    for statement in (
        "INSERT INTO users (id, full_name) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET full_name = 'b' RETURNING id",
        "SELECT id, full_name FROM users WHERE full_name = 'a' FOR UPDATE",
        "SELECT count(*) FROM users",
        "UPDATE users SET full_name = 'c' WHERE id = 1",
        "DELETE FROM users",
    ):
        assert database.may("brown_app", statement), statement
    for statement in (
        "SELECT * FROM users",
        "INSERT INTO users (id, name) VALUES (1, 'a')",
        "UPDATE users SET name = 'c'",
        "DELETE FROM users WHERE name = 'c'",
    ):
        assert not database.may("brown_app", statement), statement


def test_it_waits_for_nobody(database: Database) -> None:
    database.owner.execute("GRANT SELECT, UPDATE ON users TO brown_app")
    with psycopg.connect(database.url) as writer:
        writer.execute("LOCK TABLE users IN EXCLUSIVE MODE")  # from 18 on it takes ACCESS SHARE
        database.owner.execute("SET lock_timeout = '200ms'")
        began = time.monotonic()
        database.hide()
        brown_out.give_back(database.owner, CHANGE)
        assert time.monotonic() - began < 10


def test_an_owner_is_not_kept_out(database: Database) -> None:
    with pytest.raises(brown_out.NobodyToHideFrom):
        database.hide()
    assert brown_out.hidden(database.owner) == []


def test_privileges_that_another_role_has_granted_are_left_alone(database: Database) -> None:
    database.owner.execute("GRANT SELECT ON users TO brown_app WITH GRANT OPTION")
    assert database.may("brown_app", "GRANT SELECT ON users TO brown_reader")
    before = database.grants()
    with pytest.raises(brown_out.GrantedByAnother, match="brown_app"):
        database.hide()
    assert database.grants() == before


def test_one_at_a_time(database: Database) -> None:
    database.owner.execute("GRANT SELECT ON users TO brown_app")
    database.hide()
    with pytest.raises(brown_out.BrownOutUnderWay):
        brown_out.hide(database.owner, "another", [(USERS, "id")], "bob", 60)


def test_a_role_that_is_gone_is_not_missed(database: Database) -> None:
    database.owner.execute("CREATE ROLE brown_gone")
    database.owner.execute("GRANT SELECT ON users TO brown_gone, brown_app")
    database.hide()
    database.owner.execute("DROP OWNED BY brown_gone")
    database.owner.execute("DROP ROLE brown_gone")
    assert brown_out.give_back(database.owner, CHANGE)
    assert database.may("brown_app", "SELECT name FROM users")


def test_a_dry_run_shows_what_would_be_sent(database: Database) -> None:
    database.owner.execute('ALTER TABLE users RENAME COLUMN full_name TO "100% ""full"""')
    database.owner.execute("GRANT SELECT ON users TO brown_app")
    assert brown_out.statements(database.owner, NAME) == [
        'REVOKE SELECT ON "public"."users" FROM "brown_app" ',
        'GRANT SELECT ("id", "100% ""full""") ON "public"."users" TO "brown_app"',
    ]


def test_sessions_that_it_does_not_reach_are_named(database: Database) -> None:
    with psycopg.connect(database.url, application_name="report"):
        found = brown_out.untouched(database.owner, NAME)
    assert [(each.application, each.sessions) for each in found] == [("report", 1)]


def test_who_may_use_a_partition_by_its_own_name_is_not_reached(database: Database) -> None:
    database.owner.execute(
        "DROP TABLE users; CREATE TABLE users (id int, name text) PARTITION BY RANGE (id);"
        " CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (1) TO (9)"
    )
    database.owner.execute(f"ALTER ROLE {APP} LOGIN PASSWORD '{APP}'".encode())
    as_app = psycopg.conninfo.make_conninfo(database.url, user=APP, password=APP)
    with psycopg.connect(as_app, application_name="app"):
        assert brown_out.untouched(database.owner, NAME) == []
        database.owner.execute("GRANT SELECT (name) ON users_1 TO brown_app")
        assert [each.role for each in brown_out.untouched(database.owner, NAME)] == ["brown_app"]
