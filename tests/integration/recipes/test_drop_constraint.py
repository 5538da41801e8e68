"""Dropping constraints on a real server: what goes, what is refused, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.constraints.drop_constraint import DropConstraint
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ORDERS, CUSTOMERS = QualifiedName("orders"), QualifiedName("customers")
SCHEMA = """
    CREATE TABLE customers (id int PRIMARY KEY);
    CREATE TABLE orders (
        id int CONSTRAINT key PRIMARY KEY,
        customer int CONSTRAINT buyer REFERENCES customers ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
        code text CONSTRAINT once UNIQUE DEFERRABLE,
        cents int CONSTRAINT rich CHECK (cents > 0),
        span int4range,
        "Wei""ß" int CONSTRAINT "Wei""ß?" UNIQUE,
        CONSTRAINT apart EXCLUDE USING gist (span WITH &&)
    );
    ALTER TABLE orders ADD CONSTRAINT wide UNIQUE (id) INCLUDE (cents), ADD CONSTRAINT loose CHECK (id > 0) NOT VALID;
    INSERT INTO customers SELECT generate_series(1, 20);
    INSERT INTO orders SELECT n, n, n::text, n, int4range(n * 2, n * 2 + 1), n FROM generate_series(1, 20) n;
"""
NAMES = ("key", "buyer", "once", "rich", "apart", 'Wei"ß?', "wide", "loose")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def test_phases(connection: Connection) -> None:
    assert phases(connection, DropConstraint(ORDERS, "rich")) == ("expand", "contract")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_gone_and_nothing_else(connection: Connection, name: str) -> None:
    Carried(connection, DropConstraint(ORDERS, name)).up("expand", "contract")
    assert {c.name for c in table(connection, "orders").constraints} == {*NAMES} - {name}


@pytest.mark.parametrize("name", NAMES)
def test_the_way_back_restores_it(connection: Connection, name: str) -> None:
    before = table(connection, "orders").constraint(name)
    assert restores(connection, DropConstraint(ORDERS, name))
    assert table(connection, "orders").constraint(name) == before


def test_a_foreign_key_locks_both_tables(connection: Connection) -> None:
    (drop,) = Carried(connection, DropConstraint(ORDERS, "buyer")).parts("contract")[-1].statements
    with connection.transaction(force_rollback=True):
        connection.execute(drop.sql.encode())
        locked = connection.execute(
            "SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() "
            "AND mode = 'AccessExclusiveLock' AND relation IN ('orders'::regclass, 'customers'::regclass) ORDER BY 1"
        ).fetchall()
    assert locked == [("customers",), ("orders",)]
    assert '"customers" is locked' in drop.why


def test_the_way_back_of_a_key_reads_no_row_under_its_strong_lock(connection: Connection) -> None:
    carried = Carried(connection, DropConstraint(ORDERS, "key"))
    carried.up("contract")
    query = "SELECT pg_stat_get_xact_numscans('orders'::regclass)"
    *building, adding = carried.parts("contract")[-1].undo
    for statement in building:
        connection.execute(statement.sql.encode())
    with connection.transaction():
        before = connection.execute(query).fetchone()
        connection.execute(adding.sql.encode())
        assert connection.execute(query).fetchone() == before


def test_rows_that_came_since_stop_the_way_back(connection: Connection) -> None:
    carried = Carried(connection, DropConstraint(ORDERS, "rich"))
    carried.up("contract")
    connection.execute("UPDATE orders SET cents = -1 WHERE id = 3")
    with pytest.raises(psycopg.errors.CheckViolation):
        carried.down(carried.parts("contract"))


def test_a_check_of_a_partitioned_table(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE parts (id int, CONSTRAINT c CHECK (id > 0)) PARTITION BY RANGE (id);"
        "CREATE TABLE part PARTITION OF parts DEFAULT; INSERT INTO parts VALUES (1)"
    )
    assert restores(connection, DropConstraint(QualifiedName("parts"), "c"))


PARTS = (
    "CREATE TABLE parts (id int PRIMARY KEY, c int REFERENCES customers) PARTITION BY RANGE (id);"
    "CREATE TABLE part PARTITION OF parts DEFAULT;"
)
REFUSED: dict[str, tuple[str, Change, type[EvolveError], str]] = {
    "unknown": ("", DropConstraint(ORDERS, "nobody"), Misuse, 'no constraint "nobody"'),
    "pointed at": ("", DropConstraint(CUSTOMERS, "customers_pkey"), Refused, 'foreign key "buyer" of orders'),
    "replica identity": (
        "CREATE TABLE log (a int NOT NULL CONSTRAINT u UNIQUE); ALTER TABLE log REPLICA IDENTITY USING INDEX u",
        DropConstraint(QualifiedName("log"), "u"),
        Refused,
        "replica identity",
    ),
    "published": (
        "CREATE PUBLICATION p FOR TABLE orders",
        DropConstraint(ORDERS, "key"),
        Refused,
        "publication p",
    ),
    "partitioned": (
        PARTS,
        DropConstraint(QualifiedName("parts"), "parts_pkey"),
        Refused,
        "could not come back",
    ),
    "partition": (PARTS, DropConstraint(QualifiedName("part"), "part_pkey"), Refused, "is a partition"),
    "inheritance": (
        "CREATE TABLE more () INHERITS (orders)",
        DropConstraint(ORDERS, "rich"),
        Refused,
        "inheritance",
    ),
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


def test_a_foreign_key_of_a_partitioned_table_needs_18(connection: Connection) -> None:
    connection.execute(PARTS)
    change = DropConstraint(QualifiedName("parts"), "parts_c_fkey")
    if connection.info.server_version >= 180000:
        assert restores(connection, change)
        return
    with pytest.raises(Refused, match="could not come back"):
        make_plan(change, LiveFacts(connection))
