"""A unique constraint on a real server: what it makes, what it refuses, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, tried

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.constraints.add_unique import AddUnique, Duplicates, NullsBefore15
from evolve.postgres.catalog import read_schema
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

USERS = QualifiedName("users")
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, email text, tenant int, slug text);
    INSERT INTO users SELECT n, n::text, n % 3, n::text FROM generate_series(1, 60) n;
    INSERT INTO users VALUES (98, NULL, 1, NULL), (99, NULL, 1, NULL);
"""
PLAIN = AddUnique(USERS, ("email",))
BOTH = AddUnique(USERS, ("tenant", "slug"), deferrable=True, name="one slug")
EQUAL = AddUnique(USERS, ("email",), nulls_not_distinct=True)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def test_phases(connection: Connection) -> None:
    assert phases(connection, PLAIN) == ("expand", "validate")


@pytest.mark.parametrize("change", [PLAIN, BOTH], ids=["plain", "both"])
def test_the_way_back_restores_the_schema(connection: Connection, change: Change) -> None:
    before = read_schema(connection)
    carried = Carried(connection, change)
    carried.up("expand", "validate")
    carried.down(carried.parts("validate"))
    carried.down(carried.parts("expand"))
    assert read_schema(connection) == before


@pytest.mark.parametrize("change", [PLAIN, BOTH], ids=["plain", "both"])
def test_validate_can_be_taken_back_alone_and_come_again(connection: Connection, change: Change) -> None:
    carried = Carried(connection, change)
    carried.up("expand", "validate")
    before = read_schema(connection)
    carried.down(carried.parts("validate"))
    carried.up("validate")
    assert read_schema(connection) == before


@pytest.mark.parametrize(
    ("change", "name", "definition"),
    [
        (PLAIN, "users_email_key", "UNIQUE (email)"),
        (BOTH, "one slug", "UNIQUE (tenant, slug) DEFERRABLE"),
        (EQUAL, "users_email_key", "UNIQUE NULLS NOT DISTINCT (email)"),
    ],
)
def test_the_constraint_is_there(connection: Connection, change: Change, name: str, definition: str) -> None:
    connection.execute("DELETE FROM users WHERE id = 99")
    if change is EQUAL and connection.info.server_version < 150000:
        with pytest.raises(NullsBefore15):
            Carried(connection, change)
        return
    Carried(connection, change).up("expand", "validate")
    (made,) = [c for c in table(connection, "users").constraints if c.kind == "unique"]
    assert (made.name, made.definition, made.index) == (name, definition, name)


def test_duplicates_shut_the_revision_before_anything_is_built(connection: Connection) -> None:
    carried = Carried(connection, PLAIN)
    connection.execute("UPDATE users SET email = '7' WHERE id = 8")
    with pytest.raises(psycopg.Error) as raised:
        carried.up("expand")
    assert raised.value.sqlstate == "EV001"
    assert len(table(connection, "users").indexes) == 1


def test_an_invalid_leftover_may_refuse_duplicates_and_is_cleared_away(
    connection: Connection, database_url: str
) -> None:
    carried = Carried(connection, PLAIN)
    with psycopg.connect(database_url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")  # a snapshot that the last step of a build waits for
        connection.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY users_email_key ON users (email)")
    connection.execute("RESET lock_timeout")
    assert [index.valid for index in table(connection, "users").indexes] == [False, True]
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO users VALUES (101, '7')")
    carried.up("expand", "validate")
    assert [index.valid for index in table(connection, "users").indexes] == [True, True]


def test_the_constraint_takes_over_the_index_without_reading(connection: Connection) -> None:
    carried = Carried(connection, PLAIN)
    carried.up("expand")
    built = connection.execute(
        "SELECT relfilenode FROM pg_class WHERE relname = 'users_email_key'"
    ).fetchone()
    query = "SELECT pg_stat_get_xact_numscans('users'::regclass)"
    with connection.transaction():
        before = connection.execute(query).fetchone()
        connection.execute(carried.parts("validate")[0].statements[1].sql.encode())
        assert connection.execute(query).fetchone() == before
    after = connection.execute(
        "SELECT relfilenode FROM pg_class WHERE relname = 'users_email_key'"
    ).fetchone()
    assert after == built


def test_hostile_names(connection: Connection) -> None:
    connection.execute(
        'CREATE SCHEMA "My App"; CREATE TABLE "My App"."Größe" ("user" int, "a""b" int); '
        'INSERT INTO "My App"."Größe" VALUES (1, 1), (2, 1)'
    )
    change = AddUnique(QualifiedName("Größe", "My App"), ("user", 'a"b'))
    tried(connection, change)
    Carried(connection, change).up("expand", "validate")
    (made,) = table(connection, "Größe", "My App").constraints
    assert made.name == 'Größe_user_a"b_key'


def test_names_of_63_bytes(connection: Connection) -> None:
    long = "c" * 63
    connection.execute(f"ALTER TABLE users ADD COLUMN {long} bigint".encode())
    Carried(connection, AddUnique(USERS, (long,))).up("expand", "validate")
    (made,) = [c for c in table(connection, "users").constraints if c.kind == "unique"]
    assert len(made.name) == 63


def test_nulls_are_no_duplicates(connection: Connection) -> None:
    assert not any(tried(connection, PLAIN))


def test_nulls_are_duplicates_where_they_count_as_equal(connection: Connection) -> None:
    if connection.info.server_version < 150000:
        pytest.skip("refused, as another test tells")
    with pytest.raises(Duplicates, match=r"2 rows .*id=98, email=None"):
        tried(connection, EQUAL)


def test_duplicates_are_told(connection: Connection) -> None:
    connection.execute("UPDATE users SET email = '7' WHERE id = 8")
    with pytest.raises(Duplicates, match=r"2 rows .*id=7, email='7'; id=8, email='7'"):
        tried(connection, PLAIN)


PARTS = "CREATE TABLE parts (id bigint) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parts DEFAULT"
REFUSED: dict[str, tuple[str, Change, type[EvolveError], str]] = {
    "unknown column": ("", AddUnique(USERS, ("nobody",)), Misuse, 'no column "nobody"'),
    "twice": ("", AddUnique(USERS, ("email", "email")), Misuse, "named twice"),
    "there already": ("ALTER TABLE users ADD UNIQUE (email)", PLAIN, Misuse, "already"),
    "name of an index": ("CREATE INDEX users_email_key ON users (email)", PLAIN, Misuse, "name of a index"),
    "inheritance": ("CREATE TABLE more () INHERITS (users)", PLAIN, Refused, "inheritance"),
    "partition": (PARTS, AddUnique(QualifiedName("part"), ("id",)), Refused, "is a partition"),
    "partitioned": (PARTS, AddUnique(QualifiedName("parts"), ("id",)), Refused, "is partitioned"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_done_is_refused(connection: Connection, case: str) -> None:
    ddl, change, cause, words = REFUSED[case]
    if ddl:
        connection.execute(ddl.encode())
    with pytest.raises(cause) as refused:
        make_plan(change, LiveFacts(connection))
    assert words in refused.value.what
    assert refused.value.fix
