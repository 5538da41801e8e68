"""A foreign key on a real server: what it makes, what it refuses, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores, tried

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.parameters import ColumnName
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.constraints.add_foreign_key import AddForeignKey
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ORDERS, CUSTOMERS = QualifiedName("orders"), QualifiedName("customers")
SCHEMA = """
    CREATE TABLE customers (id bigint PRIMARY KEY, tenant int NOT NULL, code text, UNIQUE (id, tenant));
    CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, tenant int NOT NULL, seen int NOT NULL);
    INSERT INTO customers SELECT n, n % 3, n::text FROM generate_series(1, 20) n;
    INSERT INTO orders SELECT n, n % 30 + 1, (n % 30 + 1) % 3, 1 FROM generate_series(1, 60) n;
"""
ID = ColumnName(CUSTOMERS, "id")
PLAIN = AddForeignKey(ORDERS, "customer_id", ID)
NULLED = AddForeignKey(ORDERS, "customer_id", ID, orphans="null", on_delete="set null", on_update="cascade")
BOTH = AddForeignKey(
    ORDERS, "customer_id", ID, (("tenant", "tenant"),), deferrable=True, orphans="null", name="of"
)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def without_orphans(connection: Connection) -> None:
    connection.execute("DELETE FROM orders WHERE customer_id > 20")


def test_phases(connection: Connection) -> None:
    assert phases(connection, PLAIN) == ("expand", "validate")


def test_orphans_get_a_backfill(connection: Connection) -> None:
    assert phases(connection, NULLED) == ("expand", "backfill", "validate")


@pytest.mark.parametrize("change", [PLAIN, NULLED, BOTH], ids=["plain", "nulled", "both"])
def test_the_way_back_restores_the_schema(connection: Connection, change: Change) -> None:
    without_orphans(connection)
    assert restores(connection, change)


@pytest.mark.parametrize(
    ("change", "name", "definition"),
    [
        (PLAIN, "orders_customer_id_fkey", "FOREIGN KEY (customer_id) REFERENCES customers(id)"),
        (
            NULLED,
            "orders_customer_id_fkey",
            "FOREIGN KEY (customer_id) REFERENCES customers(id) ON UPDATE CASCADE ON DELETE SET NULL",
        ),
        (
            BOTH,
            "of",
            "FOREIGN KEY (customer_id, tenant) REFERENCES customers(id, tenant) DEFERRABLE",
        ),
    ],
    ids=["plain", "nulled", "both"],
)
def test_the_key_is_there_and_validated(
    connection: Connection, change: Change, name: str, definition: str
) -> None:
    if change is PLAIN:
        without_orphans(connection)
    Carried(connection, change).up(*phases(connection, change))
    (key,) = [c for c in table(connection, "orders").constraints if c.kind == "foreign key"]
    assert (key.name, key.definition, key.validated) == (name, definition, True)


def test_orphans_lose_the_value_and_nothing_else(connection: Connection) -> None:
    before = connection.execute("SELECT id, tenant, seen FROM orders ORDER BY id").fetchall()
    Carried(connection, NULLED).up("expand", "backfill", "validate")
    assert connection.execute("SELECT count(*) FROM orders WHERE customer_id IS NULL").fetchone() == (20,)
    assert connection.execute("SELECT id, tenant, seen FROM orders ORDER BY id").fetchall() == before


def test_orphans_can_still_be_updated_after_expand(connection: Connection) -> None:
    Carried(connection, NULLED).up("expand")
    assert connection.execute("UPDATE orders SET seen = 2 WHERE customer_id > 20").rowcount == 20


def test_an_index_is_built_where_none_serves(connection: Connection) -> None:
    Carried(connection, PLAIN).up("expand")
    assert "ix_orders_customer_id" in {index.name for index in table(connection, "orders").indexes}


@pytest.mark.parametrize(
    ("ddl", "built"),
    [
        ("CREATE INDEX mine ON orders (customer_id, seen)", False),
        ("CREATE INDEX mine ON orders (customer_id) WHERE customer_id IS NOT NULL", False),
        ("CREATE INDEX mine ON orders USING hash (customer_id)", False),
        ("CREATE INDEX mine ON orders (seen, customer_id)", True),
        ("CREATE INDEX mine ON orders (customer_id) WHERE seen = 1", True),
        ("CREATE INDEX mine ON orders (seen) INCLUDE (customer_id)", True),
    ],
)
def test_an_index_that_serves_is_taken(connection: Connection, ddl: str, built: bool) -> None:
    connection.execute(ddl.encode())
    Carried(connection, PLAIN).up("expand")
    names = {index.name for index in table(connection, "orders").indexes}
    assert ("ix_orders_customer_id" in names) is built


def test_a_leftover_of_an_interrupted_build_is_cleared(connection: Connection) -> None:
    carried = Carried(connection, PLAIN)
    connection.execute("CREATE INDEX ix_orders_customer_id ON orders (seen)")
    carried.up("expand")
    (index,) = [i for i in table(connection, "orders").indexes if i.name == "ix_orders_customer_id"]
    assert index.columns == ("customer_id",)


def test_both_tables_are_locked_no_stronger_than_said(connection: Connection) -> None:
    carried = Carried(connection, PLAIN)
    (adding,) = carried.parts("expand")[-1].statements
    carried.again(carried.parts("expand")[0])
    with connection.transaction(force_rollback=True):
        connection.execute(adding.sql.encode())
        locks = connection.execute(
            "SELECT relation::regclass::text, max(mode) FROM pg_locks WHERE pid = pg_backend_pid() "
            "AND relation IN ('orders'::regclass, 'customers'::regclass) AND mode ~ 'Exclusive' GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert locks == [("customers", "ShareRowExclusiveLock"), ("orders", "ShareRowExclusiveLock")]


def test_it_points_at_a_partitioned_table(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE whole (id bigint PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE part PARTITION OF whole DEFAULT; INSERT INTO whole SELECT generate_series(1, 40)"
    )
    change = AddForeignKey(ORDERS, "customer_id", ColumnName(QualifiedName("whole"), "id"))
    assert restores(connection, change)


PARTITIONED = """
    CREATE TABLE parts (id bigint, customer_id bigint, PRIMARY KEY (id)) PARTITION BY RANGE (id);
    CREATE TABLE one PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE two PARTITION OF parts DEFAULT;
    CREATE INDEX mine ON parts (customer_id);
    INSERT INTO parts SELECT n, n FROM generate_series(1, 20) n;
"""


def test_a_partitioned_table_gets_it_from_18_on(connection: Connection) -> None:
    connection.execute(PARTITIONED)
    change = AddForeignKey(QualifiedName("parts"), "customer_id", ID)
    if connection.info.server_version >= 180000:
        assert restores(connection, change)
        return
    with pytest.raises(Refused, match="is partitioned"):
        make_plan(change, LiveFacts(connection))


def test_the_way_out_before_18_reads_no_row(connection: Connection) -> None:
    connection.execute(PARTITIONED)
    key = "ADD CONSTRAINT f FOREIGN KEY (customer_id) REFERENCES customers (id)"
    for part in ("one", "two"):
        connection.execute(
            f"ALTER TABLE {part} {key} NOT VALID; ALTER TABLE {part} VALIDATE CONSTRAINT f".encode()
        )
    with connection.transaction():
        before = connection.execute(SCANS).fetchone()
        connection.execute(f"ALTER TABLE parts {key}".encode())
        assert connection.execute(SCANS).fetchone() == before


SCANS = """
    SELECT sum(pg_stat_get_xact_numscans(oid)) FROM pg_class WHERE relname IN ('one', 'two', 'customers')
"""


def test_hostile_names(connection: Connection) -> None:
    connection.execute(
        'CREATE SCHEMA "My App"; CREATE TABLE "My App"."select" ("ki""nd" int PRIMARY KEY);'
        'CREATE TABLE "My App"."Größe" ("user" int PRIMARY KEY, "wei ß" int); '
        'INSERT INTO "My App"."Größe" VALUES (1, NULL), (2, 3)'
    )
    target = ColumnName(QualifiedName("select", "My App"), 'ki"nd')
    change = AddForeignKey(QualifiedName("Größe", "My App"), "wei ß", target, orphans="null")
    Carried(connection, change).up("expand", "backfill", "validate")
    assert connection.execute('SELECT "wei ß" FROM "My App"."Größe"').fetchall() == [(None,), (None,)]


def test_names_of_63_bytes(connection: Connection) -> None:
    long = "c" * 63
    connection.execute(f"ALTER TABLE orders ADD COLUMN {long} bigint".encode())
    assert restores(connection, AddForeignKey(ORDERS, long, ID))


def test_a_table_may_point_at_itself(connection: Connection) -> None:
    change = AddForeignKey(ORDERS, "customer_id", ColumnName(ORDERS, "id"))
    assert restores(connection, change)


def test_a_partitioned_table_is_sent_to_a_unique_index(connection: Connection) -> None:
    connection.execute("CREATE TABLE areas (id bigint, tenant int) PARTITION BY LIST (tenant)")
    change = AddForeignKey(ORDERS, "tenant", ColumnName(QualifiedName("areas"), "tenant"))
    with pytest.raises(Refused) as refused:
        make_plan(change, LiveFacts(connection))
    assert refused.value.fix == "first: evolve plan add-index areas --on tenant --unique"


def test_counter_examples_are_told(connection: Connection) -> None:
    with pytest.raises(Refused, match=r"20 rows .*id=2\d, customer_id=2\d"):
        tried(connection, PLAIN)


REFUSED: dict[str, tuple[str, Change, type[EvolveError], str]] = {
    "unknown column": ("", AddForeignKey(ORDERS, "nobody", ID), Misuse, 'no column "nobody"'),
    "unknown target": (
        "",
        AddForeignKey(ORDERS, "seen", ColumnName(CUSTOMERS, "no")),
        Misuse,
        'no column "no"',
    ),
    "not unique": (
        "",
        AddForeignKey(ORDERS, "tenant", ColumnName(CUSTOMERS, "tenant")),
        Refused,
        "no unique",
    ),
    "unique in part": (
        "CREATE UNIQUE INDEX ON customers (tenant) WHERE id < 0",
        AddForeignKey(ORDERS, "tenant", ColumnName(CUSTOMERS, "tenant")),
        Refused,
        "no unique",
    ),
    "types": ("ALTER TABLE orders ADD code uuid", AddForeignKey(ORDERS, "code", ID), Refused, "is uuid"),
    "there already": (
        "ALTER TABLE orders ADD CONSTRAINT orders_customer_id_fkey CHECK (id > 0)",
        PLAIN,
        Misuse,
        "already",
    ),
    "index name taken": ("CREATE TABLE ix_orders_customer_id ()", PLAIN, Misuse, "is the name of a table"),
    "null where not null": (
        "ALTER TABLE orders ALTER customer_id SET NOT NULL",
        NULLED,
        Refused,
        "is NOT NULL",
    ),
    "no key": ("ALTER TABLE orders DROP CONSTRAINT orders_pkey", NULLED, Refused, "no primary key"),
    "inheritance": ("CREATE TABLE more () INHERITS (orders)", PLAIN, Refused, "inheritance"),
    "partition": (
        PARTITIONED,
        AddForeignKey(QualifiedName("one"), "customer_id", ID),
        Refused,
        'is a partition of "parts"',
    ),
    "no column name": ("", AddForeignKey(ORDERS, "customer_id", ID, (("tenant", "a + b"),)), Misuse, "a + b"),
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
