"""An index on a real server: what it makes, on partitioned tables as well, what it refuses, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores, tried

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.indexes.add_index import AddIndex, DuplicateKeys
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ORDERS, PARTS = QualifiedName("orders"), QualifiedName("parts")
SCHEMA = """
    CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint, email text, tags int[]);
    INSERT INTO orders SELECT n, n % 7, n::text, ARRAY[n] FROM generate_series(1, 60) n;
"""
PARTITIONED = """
    CREATE TABLE parts (id bigint, at int) PARTITION BY RANGE (at);
    CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (90) PARTITION BY RANGE (at);
    CREATE TABLE "High ""1" PARTITION OF high FOR VALUES FROM (10) TO (20);
    CREATE TABLE high2 PARTITION OF high DEFAULT;
    INSERT INTO parts SELECT n, n FROM generate_series(1, 60) n;
"""
PLAIN = AddIndex(ORDERS, "customer, id DESC NULLS LAST")
RICH = AddIndex(
    ORDERS,
    'lower(email) COLLATE "C" text_pattern_ops',
    where="customer > 2",
    include=("id",),
    unique=True,
    name="Rich",
)
WHOLE = AddIndex(PARTS, "id")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


@pytest.mark.parametrize("change", [PLAIN, RICH], ids=["plain", "rich"])
def test_the_way_back_restores_the_schema(connection: Connection, change: Change) -> None:
    assert restores(connection, change)


@pytest.mark.parametrize(
    ("change", "name", "definition"),
    [
        (
            PLAIN,
            "ix_orders_customer_id",
            "CREATE INDEX ix_orders_customer_id ON public.orders USING btree (customer, id DESC NULLS LAST)",
        ),
        (
            RICH,
            "Rich",
            'CREATE UNIQUE INDEX "Rich" ON public.orders USING btree (lower(email) COLLATE "C" text_pattern_ops) '
            "INCLUDE (id) WHERE (customer > 2)",
        ),
        (
            AddIndex(ORDERS, "tags", using="gin"),
            "ix_orders_tags",
            "CREATE INDEX ix_orders_tags ON public.orders USING gin (tags)",
        ),
    ],
    ids=["plain", "rich", "gin"],
)
def test_the_index_is_there(connection: Connection, change: Change, name: str, definition: str) -> None:
    Carried(connection, change).up("expand")
    (made,) = [index for index in table(connection, "orders").indexes if index.name == name]
    assert (made.definition, made.valid) == (definition, True)


def test_what_an_interrupted_build_left_is_cleared_away(connection: Connection) -> None:
    carried = Carried(connection, AddIndex(ORDERS, "customer", unique=True))
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY ix_orders_customer ON orders (customer)")
    connection.execute("UPDATE orders SET customer = id")
    carried.up("expand")
    assert all(index.valid for index in table(connection, "orders").indexes)


def test_the_index_of_a_partitioned_table_becomes_valid(connection: Connection) -> None:
    connection.execute(PARTITIONED)
    Carried(connection, WHOLE).up("expand", "validate")
    valid = connection.execute(
        "SELECT bool_and(indisvalid), count(*) FROM pg_index WHERE indrelid::regclass::text !~ 'orders' "
        "AND indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
    ).fetchone()
    assert valid == (True, 5)


def test_the_way_back_of_a_partitioned_table(connection: Connection) -> None:
    connection.execute(PARTITIONED)
    assert phases(connection, WHOLE) == ("expand", "validate")
    assert restores(connection, WHOLE)


def test_a_partition_that_comes_meanwhile_is_no_obstacle(connection: Connection) -> None:
    connection.execute(PARTITIONED)
    carried = Carried(connection, WHOLE)
    carried.up("expand")
    connection.execute("CREATE TABLE late PARTITION OF parts FOR VALUES FROM (90) TO (99)")
    carried.up("validate")
    assert all(index.valid for index in table(connection, "parts").indexes)


def test_an_invalid_index_of_a_partition_shuts_validate(connection: Connection) -> None:
    connection.execute(PARTITIONED)
    carried = Carried(connection, WHOLE)
    carried.up("expand")
    connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_parts_id_low'::regclass"
    )
    with pytest.raises(psycopg.Error) as raised:
        carried.up("validate")
    assert raised.value.sqlstate == "EV001"


def test_no_lock_on_a_partitioned_table_is_held_while_rows_are_read(connection: Connection) -> None:
    connection.execute(PARTITIONED)
    plan = Carried(connection, WHOLE).plan
    query = (
        "SELECT sum(pg_stat_get_xact_numscans(oid)) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    for part in (part for phase in plan.phases for part in phase.parts):
        for statement in part.statements:
            if not statement.transactional:
                assert "CONCURRENTLY" in statement.sql
                connection.execute(statement.sql.encode())
                continue
            with connection.transaction():
                before = connection.execute(query).fetchone()
                connection.execute(statement.sql.encode())
                assert connection.execute(query).fetchone() == before


def test_names_of_63_bytes(connection: Connection) -> None:
    long = "c" * 63
    connection.execute(f'CREATE SCHEMA "My App"; CREATE TABLE "My App".{long} ({long} int)'.encode())
    assert restores(connection, AddIndex(QualifiedName(long, "My App"), long))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (AddIndex(ORDERS, "customer", unique=True), "60 rows"),
        (AddIndex(ORDERS, "(customer % 3)", where="id < 5", unique=True), "2 rows"),
    ],
)
def test_duplicates_are_refused(connection: Connection, change: Change, words: str) -> None:
    with pytest.raises(DuplicateKeys, match=words):
        tried(connection, change)


def test_duplicates_beyond_the_predicate_are_none(connection: Connection) -> None:
    assert not tried(connection, AddIndex(ORDERS, "customer", where="id < 7", unique=True))


REFUSED: dict[str, tuple[str, Change, type[EvolveError], str]] = {
    "unknown column": ("", AddIndex(ORDERS, "nobody"), Misuse, 'no column "nobody"'),
    "unknown column in where": ("", AddIndex(ORDERS, "id", where="nobody > 1"), Misuse, 'no column "nobody"'),
    "unknown include": ("", AddIndex(ORDERS, "email", include=("nobody",)), Misuse, 'no column "nobody"'),
    "two statements": ("", AddIndex(ORDERS, "id); DROP TABLE orders; --"), Misuse, "--on"),
    "a predicate in the keys": ("", AddIndex(ORDERS, "id) WHERE (id > 1"), Misuse, "--on"),
    "more columns in the keys": ("", AddIndex(ORDERS, "id) INCLUDE (email"), Misuse, "--on"),
    "storage in the keys": ("", AddIndex(ORDERS, "id) WITH (fillfactor = 10"), Misuse, "--on"),
    "no expression": ("", AddIndex(ORDERS, "id", where="id > 1) --"), Misuse, "--where"),
    "there already": ("CREATE INDEX mine ON orders (email)", AddIndex(ORDERS, "email"), Misuse, '"mine"'),
    "name taken": ("CREATE TABLE ix_orders_email ()", AddIndex(ORDERS, "email"), Misuse, "name of a table"),
    "partition": (PARTITIONED, AddIndex(QualifiedName("low"), "id"), Refused, "is a partition"),
    "inheritance": ("CREATE TABLE more () INHERITS (orders)", PLAIN, Refused, "inheritance"),
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
