"""A check on a real server: what it makes, what it refuses, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores, tried

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.constraints.add_check import AddCheck, BreaksCheck, FillBreaksCheck
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ORDERS = QualifiedName("orders")
SCHEMA = """
    CREATE TABLE orders (id bigint PRIMARY KEY, cents bigint, discount bigint, note text);
    INSERT INTO orders SELECT n, n, n % 3 - 1, 'x' FROM generate_series(1, 60) n;
    INSERT INTO orders VALUES (99, NULL, NULL, NULL);
"""
PLAIN = AddCheck(ORDERS, "cents > 0")
FILLED = AddCheck(ORDERS, "discount >= 0", (("discount", "0"),))
SWAPPED = AddCheck(ORDERS, "discount < cents", (("cents", "discount + 1"), ("discount", "cents")), "apart")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (PLAIN, ("expand", "validate")),
        (FILLED, ("expand", "backfill", "validate", "switch", "contract")),
    ],
    ids=["plain", "filled"],
)
def test_phases(connection: Connection, change: Change, expected: tuple[str, ...]) -> None:
    assert phases(connection, change) == expected


@pytest.mark.parametrize("change", [PLAIN, FILLED, SWAPPED], ids=["plain", "filled", "swapped"])
def test_the_way_back_restores_the_schema(connection: Connection, change: Change) -> None:
    assert restores(connection, change)


@pytest.mark.parametrize(
    ("change", "name", "definition"),
    [
        (PLAIN, "orders_cents_check", "CHECK ((cents > 0))"),
        (FILLED, "orders_discount_check", "CHECK ((discount >= 0))"),
        (SWAPPED, "apart", "CHECK ((discount < cents))"),
        (
            AddCheck(ORDERS, "cents > 0 OR discount > 0"),
            "orders_check",
            "CHECK (((cents > 0) OR (discount > 0)))",
        ),
    ],
)
def test_the_check_is_there_and_validated(
    connection: Connection, change: Change, name: str, definition: str
) -> None:
    Carried(connection, change).up(*phases(connection, change))
    (check,) = [c for c in table(connection, "orders").constraints if c.kind == "check"]
    assert (check.name, check.definition, check.validated) == (name, definition, True)


def test_a_null_breaks_no_check(connection: Connection) -> None:
    Carried(connection, FILLED).up("expand", "backfill", "validate")
    assert connection.execute("SELECT cents, discount FROM orders WHERE id = 99").fetchone() == (None, None)


def test_old_code_may_still_write_and_keep_rows_that_break_it(connection: Connection) -> None:
    Carried(connection, FILLED).up("expand")
    connection.execute("INSERT INTO orders VALUES (100, 1, -7, 'new')")
    connection.execute("UPDATE orders SET note = 'touched' WHERE id = 3")
    rows = connection.execute("SELECT discount FROM orders WHERE id IN (3, 100)").fetchall()
    assert rows == [(0,), (0,)]


def test_values_are_computed_from_the_row_as_it_was_written(connection: Connection) -> None:
    Carried(connection, SWAPPED).up("expand")
    row = connection.execute(
        "INSERT INTO orders VALUES (100, 3, 7, 'x') RETURNING cents, discount"
    ).fetchone()
    assert row == (8, 3)


def test_a_row_that_breaks_it_shuts_the_revision(connection: Connection) -> None:
    carried = Carried(connection, PLAIN)
    connection.execute("UPDATE orders SET cents = -1 WHERE id = 5")
    with pytest.raises(psycopg.Error) as raised:
        carried.up("expand")
    assert raised.value.sqlstate == "EV001"


def test_expand_reads_no_row(connection: Connection) -> None:
    (add,) = Carried(connection, PLAIN).parts("expand")[0].statements
    query = "SELECT pg_stat_get_xact_numscans('orders'::regclass)"
    with connection.transaction():
        before = connection.execute(query).fetchone()
        connection.execute(add.sql.encode())
        assert connection.execute(query).fetchone() == before


def test_a_partitioned_table_gets_it(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE parts (id bigint, v int) PARTITION BY RANGE (id);"
        "CREATE TABLE part PARTITION OF parts DEFAULT; INSERT INTO parts VALUES (1, 1)"
    )
    change = AddCheck(QualifiedName("parts"), "v > 0")
    assert restores(connection, change)


def test_hostile_names(connection: Connection) -> None:
    connection.execute(
        'CREATE SCHEMA "My App"; CREATE TABLE "My App"."Größe" ("user" int PRIMARY KEY, "begin" int, "a""b" int); '
        'INSERT INTO "My App"."Größe" VALUES (1, 1, 1), (2, 2, -2)'
    )
    change = AddCheck(
        QualifiedName("Größe", "My App"), '"a""b" > 0', (('a"b', '"begin"'), ("begin", '"begin" + 1')), 'it"s'
    )
    Carried(connection, change).up("expand", "backfill", "validate")
    rows = connection.execute('SELECT "begin", "a""b" FROM "My App"."Größe" ORDER BY 1').fetchall()
    assert rows == [(1, 1), (3, 2)]


def test_names_of_63_bytes(connection: Connection) -> None:
    long = "c" * 63
    connection.execute(f"ALTER TABLE orders ADD COLUMN {long} bigint".encode())
    assert restores(connection, AddCheck(ORDERS, f"{long} > 0", ((long, "1"),)))


@pytest.mark.parametrize("change", [PLAIN, FILLED, SWAPPED], ids=["plain", "filled", "swapped"])
def test_what_works_is_not_refused_by_the_rows(connection: Connection, change: Change) -> None:
    assert not any(tried(connection, change))


@pytest.mark.parametrize(
    ("change", "cause", "words"),
    [
        (AddCheck(ORDERS, "discount >= 0"), BreaksCheck, "20 rows"),
        (AddCheck(ORDERS, "discount > 0", (("discount", "0"),)), FillBreaksCheck, "40 rows"),
        (AddCheck(ORDERS, "cents"), Misuse, "bigint"),
        (AddCheck(ORDERS, "1 / cents > 2 OR 1 / (cents - 7) > 0"), Misuse, "division by zero"),
        (AddCheck(ORDERS, "discount > 0", (("discount", "'many'"),)), Misuse, "--fill discount="),
    ],
    ids=["rows break it", "the fill breaks it", "no boolean", "fails for a row", "unfit fill"],
)
def test_the_rows_refuse(
    connection: Connection, change: Change, cause: type[EvolveError], words: str
) -> None:
    with pytest.raises(cause) as refused:
        tried(connection, change)
    assert words in refused.value.what


REFUSED: dict[str, tuple[str, Change, type[EvolveError], str]] = {
    "unknown column": ("", AddCheck(ORDERS, "nobody > 0"), Misuse, 'no column "nobody"'),
    "unknown fill": ("", AddCheck(ORDERS, "cents > 0", (("nobody", "1"),)), Misuse, 'no column "nobody"'),
    "no expression": ("", AddCheck(ORDERS, "cents > 0) NOT VALID; DROP TABLE orders; --"), Misuse, "CHECK"),
    "query": ("", AddCheck(ORDERS, "cents > (SELECT 0)"), Misuse, "made of the row alone"),
    "no column": ("", AddCheck(ORDERS, "1 > 0"), Misuse, "reads no column"),
    "there already": ("ALTER TABLE orders ADD CHECK (cents > -9)", PLAIN, Misuse, "already"),
    "no key": ("ALTER TABLE orders DROP CONSTRAINT orders_pkey", FILLED, Refused, "no primary key"),
    "inheritance": ("CREATE TABLE more () INHERITS (orders)", PLAIN, Refused, "inheritance"),
    "later trigger": (
        """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER zzz BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION f()""",
        FILLED,
        Refused,
        'trigger "zzz"',
    ),
    "generated": (
        "ALTER TABLE orders ADD g bigint GENERATED ALWAYS AS (cents * 2) STORED",
        AddCheck(ORDERS, "g > 0", (("cents", "1"),)),
        Refused,
        "is generated",
    ),
    "partition": (
        "CREATE TABLE parts (id bigint) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parts DEFAULT",
        AddCheck(QualifiedName("part"), "id > 0"),
        Refused,
        'is a partition of "parts"',
    ),
    "partitioned with a fill": (
        "CREATE TABLE parts (id bigint) PARTITION BY RANGE (id)",
        AddCheck(QualifiedName("parts"), "id > 0", (("id", "1"),)),
        Refused,
        "is partitioned",
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
