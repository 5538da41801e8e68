"""A serial column that becomes an identity on a real server: its numbers, what is refused, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection
from support.way_back import phases, restores

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.columns.serial_to_identity import SerialToIdentity
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

SCHEMA = """
    CREATE TABLE orders (id serial PRIMARY KEY, note text);
    ALTER SEQUENCE orders_id_seq INCREMENT BY 2 CACHE 1 MAXVALUE 1000000;
    COMMENT ON SEQUENCE orders_id_seq IS 'odd';
    GRANT USAGE, SELECT ON SEQUENCE orders_id_seq TO PUBLIC;
    INSERT INTO orders (note) SELECT n::text FROM generate_series(1, 50) n;
    CREATE SCHEMA "My Shop";
    CREATE TABLE "My Shop"."O'rders" ("order" bigserial UNIQUE, "ü" smallserial);
"""
ORDERS = SerialToIdentity(QualifiedName("orders"), "id")
HOSTILE = SerialToIdentity(QualifiedName("O'rders", "My Shop"), "order")
UNINDEXED = SerialToIdentity(QualifiedName("O'rders", "My Shop"), "ü")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def test_phases(connection: Connection) -> None:
    assert phases(connection, ORDERS) == ("expand",)


@pytest.mark.parametrize("change", [ORDERS, HOSTILE, UNINDEXED], ids=["plain", "hostile", "unindexed"])
def test_the_way_back_restores_the_schema(connection: Connection, change: SerialToIdentity) -> None:
    assert restores(connection, change)


def test_numbers_go_on_there_and_back(connection: Connection) -> None:
    insert = "INSERT INTO orders (note) VALUES ('x') RETURNING id"
    carried = Carried(connection, ORDERS)
    carried.up("expand")
    assert connection.execute(insert).fetchone() == (101,)
    carried.down(carried.parts("expand"))
    assert connection.execute(insert).fetchone() == (103,)


def test_an_unused_sequence_begins_at_its_start(connection: Connection) -> None:
    Carried(connection, HOSTILE).up("expand")
    row = connection.execute(
        """INSERT INTO "My Shop"."O'rders" DEFAULT VALUES RETURNING "order" """
    ).fetchone()
    assert row == (1,)


def test_numbers_begin_above_the_highest_that_was_given(connection: Connection) -> None:
    connection.execute("INSERT INTO orders VALUES (500)")
    Carried(connection, ORDERS).up("expand")
    assert connection.execute("INSERT INTO orders (note) VALUES ('x') RETURNING id").fetchone() == (502,)


def test_the_sequence_is_what_it_was(connection: Connection) -> None:
    query = """
        SELECT c.relname, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcycle,
            obj_description(c.oid, 'pg_class'), relacl::text
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid ORDER BY 1
    """
    before = connection.execute(query).fetchall()
    Carried(connection, ORDERS).up("expand")
    assert connection.execute(query).fetchall() == before
    row = connection.execute(
        "SELECT pg_get_serial_sequence('orders', 'id'), nextval('orders_id_seq')"
    ).fetchone()
    assert row == ("public.orders_id_seq", 101)


def test_a_given_number_is_taken_as_before(connection: Connection) -> None:
    Carried(connection, ORDERS).up("expand")
    assert connection.execute("INSERT INTO orders VALUES (7000) RETURNING id").fetchone() == (7000,)


def test_no_table_is_written_anew_and_nobody_draws_a_number_meanwhile(
    connection: Connection, database_url: str
) -> None:
    query = "SELECT relfilenode FROM pg_class WHERE relname = 'orders'"
    before = connection.execute(query).fetchone()
    (part,) = Carried(connection, ORDERS).parts("expand")
    names = [statement.sql.partition("(")[0] for statement in part.statements]
    reads = next(number for number, name in enumerate(names) if name.startswith("SELECT setval"))
    with connection.transaction():
        for statement in part.statements[:reads]:
            connection.execute(statement.sql.encode())
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SET lock_timeout = 100")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("SELECT nextval('orders_id_seq')")
        for statement in part.statements[reads:]:
            connection.execute(statement.sql.encode())
    assert connection.execute(query).fetchone() == before


def test_a_prepared_statement_goes_on(connection: Connection, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as client:
        inserts = [
            "INSERT INTO orders (note) VALUES ('x') RETURNING id",
            "INSERT INTO orders (id) VALUES (nextval('orders_id_seq')) RETURNING id",
        ]
        for insert in inserts:
            client.execute(insert.encode(), prepare=True)
        Carried(connection, ORDERS).up("expand")
        assert [client.execute(insert.encode(), prepare=True).fetchone() for insert in inserts] == [
            (105,),
            (107,),
        ]


REFUSED: dict[str, tuple[str, SerialToIdentity, type[EvolveError], str]] = {
    "unknown column": ("", SerialToIdentity(QualifiedName("orders"), "idd"), Misuse, 'no column "idd"'),
    "no integer": ("", SerialToIdentity(QualifiedName("orders"), "note"), Misuse, "is text"),
    "no default": (
        "ALTER TABLE orders ADD n int",
        SerialToIdentity(QualifiedName("orders"), "n"),
        Misuse,
        "has no default",
    ),
    "another default": (
        "ALTER TABLE orders ALTER id SET DEFAULT nextval('orders_id_seq') + 1",
        ORDERS,
        Misuse,
        "has the default",
    ),
    "identity": (
        "ALTER TABLE orders ADD n int GENERATED ALWAYS AS IDENTITY",
        SerialToIdentity(QualifiedName("orders"), "n"),
        Misuse,
        "already",
    ),
    "may be null": (
        "ALTER TABLE orders ADD n serial; ALTER TABLE orders ALTER n DROP NOT NULL",
        SerialToIdentity(QualifiedName("orders"), "n"),
        Refused,
        "may be null",
    ),
    "owned by nobody": ("ALTER SEQUENCE orders_id_seq OWNED BY NONE", ORDERS, Refused, "not owned"),
    "shared": (
        "CREATE TABLE copies (id int DEFAULT nextval('orders_id_seq'))",
        ORDERS,
        Refused,
        '"copies.id" too',
    ),
    "a view": ("CREATE VIEW v AS SELECT last_value FROM orders_id_seq", ORDERS, Refused, "view v"),
    "inheritance": ("CREATE TABLE heirs () INHERITS (orders)", ORDERS, Refused, "inheritance"),
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
