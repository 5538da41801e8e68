"""A primary key on a real server: what it makes, that it reads no row, what it refuses, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, tried

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.constraints.add_primary_key import AddPrimaryKey, NullsOrDuplicates
from evolve.postgres.catalog import read_schema
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

VISITS = QualifiedName("visits")
SCHEMA = """
    CREATE TABLE visits (site bigint, visitor bigint NOT NULL, note text);
    INSERT INTO visits SELECT n / 10, n, 'x' FROM generate_series(1, 60) n;
"""
BOTH = AddPrimaryKey(VISITS, ("site", "visitor"))
ONE = AddPrimaryKey(VISITS, ("visitor",), "the key")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def test_phases(connection: Connection) -> None:
    assert phases(connection, BOTH) == ("expand", "validate")


@pytest.mark.parametrize("change", [BOTH, ONE], ids=["both", "one"])
@pytest.mark.parametrize("done", [("expand",), ("expand", "validate")])
def test_the_way_back_restores_the_schema(
    connection: Connection, change: Change, done: tuple[str, ...]
) -> None:
    before = read_schema(connection)
    carried = Carried(connection, change)
    for name in done:
        carried.up(name)  # type: ignore[arg-type]
    for name in reversed(done):
        carried.down(carried.parts(name))  # type: ignore[arg-type]
    assert read_schema(connection) == before


@pytest.mark.parametrize("count", [1, 2])
def test_validate_can_be_taken_back_alone_and_come_again(connection: Connection, count: int) -> None:
    carried = Carried(connection, BOTH)
    carried.up("expand", "validate")
    before = read_schema(connection)
    last = carried.parts("validate")[-count:]
    carried.down(last)
    for part in last:
        carried.again(part)
    assert read_schema(connection) == before


@pytest.mark.parametrize(
    ("change", "name", "columns"),
    [(BOTH, "visits_pkey", ("site", "visitor")), (ONE, "the key", ("visitor",))],
)
def test_the_key_is_there(
    connection: Connection, change: Change, name: str, columns: tuple[str, ...]
) -> None:
    Carried(connection, change).up("expand", "validate")
    after = table(connection, "visits")
    assert [(c.name, c.kind, c.columns) for c in after.constraints] == [(name, "primary key", columns)]


def test_no_row_is_read_under_a_strong_lock(connection: Connection) -> None:
    carried = Carried(connection, BOTH)
    carried.up("expand")
    notices: list[str] = []
    connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    query = "SELECT pg_stat_get_xact_numscans('visits'::regclass)"
    for statement in (s for part in carried.parts("validate") for s in part.statements):
        if not statement.transactional:
            connection.execute(statement.sql.encode())
            continue
        with connection.transaction():
            before = connection.execute(query).fetchone()
            connection.execute("SET LOCAL client_min_messages = debug1")
            connection.execute(statement.sql.encode())
            assert connection.execute(query).fetchone() == before
    assert not [notice for notice in notices if notice.startswith(("verifying", "rewriting", "building"))]


def test_a_null_is_refused_from_expand_on(connection: Connection) -> None:
    Carried(connection, BOTH).up("expand")
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("INSERT INTO visits VALUES (NULL, 100)")


@pytest.mark.parametrize("row", ["NULL, 100", "0, 1"], ids=["null", "duplicate"])
def test_the_revision_counts_before_it_builds(connection: Connection, row: str) -> None:
    carried = Carried(connection, BOTH)
    connection.execute(f"INSERT INTO visits VALUES ({row})".encode())
    with pytest.raises(psycopg.Error) as raised:
        carried.up("expand")
    assert raised.value.sqlstate == "EV001"


def test_hostile_names(connection: Connection) -> None:
    connection.execute(
        'CREATE SCHEMA "My App"; CREATE TABLE "My App"."Größe" ("user" int, "a""b" int); '
        'INSERT INTO "My App"."Größe" VALUES (1, 1), (2, 1)'
    )
    Carried(connection, AddPrimaryKey(QualifiedName("Größe", "My App"), ("user", 'a"b'))).up(
        "expand", "validate"
    )
    (made,) = table(connection, "Größe", "My App").constraints
    assert (made.name, made.kind) == ("Größe_pkey", "primary key")


def test_names_of_63_bytes(connection: Connection) -> None:
    long = "c" * 63
    connection.execute(f"CREATE TABLE {long} ({long} int); INSERT INTO {long} VALUES (1)".encode())
    Carried(connection, AddPrimaryKey(QualifiedName(long), (long,))).up("expand", "validate")
    (made,) = table(connection, long).constraints
    assert len(made.name) == 63


@pytest.mark.parametrize(
    ("row", "words"),
    [("NULL, 100", "1 row .* has a null in site"), ("0, 1", r"2 rows .* share .*site=0, visitor=1")],
)
def test_the_rows_refuse(connection: Connection, row: str, words: str) -> None:
    connection.execute(f"INSERT INTO visits VALUES ({row})".encode())
    with pytest.raises(NullsOrDuplicates, match=words):
        tried(connection, BOTH)


PARTS = "CREATE TABLE parts (id bigint) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parts DEFAULT"
REFUSED: dict[str, tuple[str, Change, type[EvolveError], str]] = {
    "unknown column": ("", AddPrimaryKey(VISITS, ("nobody",)), Misuse, 'no column "nobody"'),
    "twice": ("", AddPrimaryKey(VISITS, ("site", "site")), Misuse, "named twice"),
    "there already": ("ALTER TABLE visits ADD PRIMARY KEY (visitor)", BOTH, Misuse, "has the primary key"),
    "name of a table": ("CREATE TABLE visits_pkey ()", BOTH, Misuse, "name of a table"),
    "inheritance": ("CREATE TABLE more () INHERITS (visits)", BOTH, Refused, "inheritance"),
    "partition": (PARTS, AddPrimaryKey(QualifiedName("part"), ("id",)), Refused, "is a partition"),
    "partitioned": (PARTS, AddPrimaryKey(QualifiedName("parts"), ("id",)), Refused, "is partitioned"),
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
