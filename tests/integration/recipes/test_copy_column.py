"""A column that is copied to another table, on a real server: who owns the value, what is refused, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores, tried

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.parameters import ColumnName
from evolve.plan.recipes.columns.copy_column import CopyColumn
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

CUSTOMERS, ORDERS = QualifiedName("customers"), QualifiedName("orders", "shop")
SCHEMA = """
    CREATE SCHEMA shop;
    CREATE TABLE customers (
        id int PRIMARY KEY,
        name text COLLATE "C" NOT NULL DEFAULT 'nobody',
        seen timestamptz DEFAULT now(),
        number int GENERATED ALWAYS AS IDENTITY,
        shout text GENERATED ALWAYS AS (upper(name)) STORED
    );
    CREATE TABLE shop.orders (
        id int PRIMARY KEY,
        customer_id int REFERENCES customers ON DELETE SET NULL ON UPDATE CASCADE,
        note text
    );
    CREATE INDEX orders_customer_id_idx ON shop.orders (customer_id);
    INSERT INTO customers (id, name) VALUES (1, 'Ann'), (2, 'Bob');
    INSERT INTO shop.orders VALUES (10, 1), (11, 1), (20, 2), (90, NULL);
"""
COPY = CopyColumn(CUSTOMERS, "name", ColumnName(ORDERS, "customer name"))
COPIES = 'SELECT id, "customer name" FROM shop.orders ORDER BY id'


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


@pytest.fixture
def copied(connection: Connection) -> Connection:
    Carried(connection, COPY).up("expand", "backfill", "validate")
    return connection


def copies(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(COPIES.encode()).fetchall()


def test_there_is_no_contract(connection: Connection) -> None:
    assert phases(connection, COPY) == ("expand", "backfill", "validate", "switch")


def test_the_way_back_from_any_phase(connection: Connection) -> None:
    assert restores(connection, COPY)


def test_every_row_has_its_copy(copied: Connection) -> None:
    assert copies(copied) == [(10, "Ann"), (11, "Ann"), (20, "Bob"), (90, None)]


WRITES = [
    ("UPDATE customers SET name = 'Eve' WHERE id = 1", ["Eve", "Eve", "Bob", None]),
    ("UPDATE shop.orders SET \"customer name\" = 'Eve' WHERE id = 10", ["Ann", "Ann", "Bob", None]),
    ("UPDATE shop.orders SET \"customer name\" = 'Eve' WHERE id = 90", ["Ann", "Ann", "Bob", None]),
    ("UPDATE shop.orders SET customer_id = 2 WHERE id = 10", ["Bob", "Ann", "Bob", None]),
    ("UPDATE shop.orders SET customer_id = NULL WHERE id = 10", [None, "Ann", "Bob", None]),
    ("DELETE FROM customers WHERE id = 1", [None, None, "Bob", None]),
    ("UPDATE customers SET id = 7, name = 'Eve' WHERE id = 1", ["Eve", "Eve", "Bob", None]),
    ("INSERT INTO shop.orders VALUES (95, 2)", ["Ann", "Ann", "Bob", None, "Bob"]),
    ("INSERT INTO shop.orders VALUES (95, 2, '', 'Eve')", ["Ann", "Ann", "Bob", None, "Bob"]),
]


@pytest.mark.parametrize(("write", "expected"), WRITES)
def test_one_table_owns_the_value(copied: Connection, write: str, expected: list[str | None]) -> None:
    copied.execute(write.encode())
    assert [name for _, name in copies(copied)] == expected


def test_the_catalog_says_who_owns_it(copied: Connection) -> None:
    column = table(copied, "orders", "shop").column("customer name")
    assert column is not None
    assert (column.collation, column.default, column.not_null) == ('pg_catalog."C"', None, False)
    assert column.comment is not None
    assert column.comment.startswith("Copy of customers.name, which owns the value")


def test_a_default_that_is_a_function_call_is_copied_too(connection: Connection) -> None:
    Carried(connection, replace(COPY, column="seen")).up("expand", "backfill", "validate")
    row = connection.execute(
        'SELECT count(*) FROM shop.orders o JOIN customers c ON c.id = o.customer_id WHERE o."customer name" = c.seen'
    ).fetchone()
    assert row == (3,)


def test_to_the_table_that_is_pointed_at_where_rows_are_single(connection: Connection) -> None:
    connection.execute(
        "DELETE FROM shop.orders WHERE id = 11; CREATE UNIQUE INDEX ON shop.orders (customer_id)"
    )
    connection.execute("UPDATE shop.orders SET note = id")
    Carried(connection, CopyColumn(ORDERS, "note", ColumnName(CUSTOMERS, "note"))).up(
        "expand", "backfill", "validate"
    )
    assert connection.execute("SELECT note FROM customers ORDER BY id").fetchall() == [("10",), ("20",)]


def test_each_revision_locks_one_table(connection: Connection) -> None:
    carried = Carried(connection, COPY)
    locked = []
    for part in carried.parts("expand"):
        with connection.transaction():
            carried.again(part)
            locked.append(
                connection.execute(
                    "SELECT array_agg(DISTINCT relation::regclass::text) FROM pg_locks"
                    " WHERE pid = pg_backend_pid() AND mode IN ('ShareRowExclusiveLock', 'AccessExclusiveLock')"
                    " AND relation IN ('customers'::regclass, 'shop.orders'::regclass)"
                ).fetchone()
            )
    assert locked == [(["shop.orders"],), (["customers"],)]


REFUSED: list[tuple[str, CopyColumn, type[EvolveError], str]] = [
    ("", CopyColumn(ORDERS, "note", ColumnName(CUSTOMERS, "note")), Refused, "several rows of"),
    ("", replace(COPY, column="number"), Refused, "its own identity sequence"),
    ("", replace(COPY, column="shout"), Refused, "an expression that computes it"),
    ("", replace(COPY, column="id"), Refused, "by .* itself"),
    ("", replace(COPY, column="nobody"), Misuse, "no column"),
    ("", replace(COPY, to=ColumnName(ORDERS, "note")), Misuse, "has a column"),
    (
        "ALTER TABLE shop.orders DROP CONSTRAINT orders_customer_id_fkey",
        COPY,
        Refused,
        "no foreign key joins",
    ),
    ("DROP INDEX shop.orders_customer_id_idx", COPY, Refused, "no index of"),
    ("ALTER TABLE shop.orders DROP CONSTRAINT orders_pkey", COPY, Refused, "no primary key"),
    ("ALTER TABLE customers FORCE ROW LEVEL SECURITY", COPY, Refused, "row level security is forced"),
]


@pytest.mark.parametrize(("before", "change", "kind", "message"), REFUSED)
def test_what_is_refused(
    connection: Connection, before: str, change: CopyColumn, kind: type[EvolveError], message: str
) -> None:
    if before:
        connection.execute(before.encode())
    with pytest.raises(kind, match=message):
        tried(connection, change)


def test_row_security_that_is_forced_later_shuts_expand(connection: Connection) -> None:
    carried = Carried(connection, COPY)
    connection.execute("ALTER TABLE shop.orders FORCE ROW LEVEL SECURITY")
    with pytest.raises(psycopg.Error, match=r"not forced on shop\.orders"):
        carried.up("expand")
