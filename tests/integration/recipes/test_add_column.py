"""add-column on a real server: what is written, what is refused, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.model import PhaseName
from evolve.plan.recipes.columns.add_column import AddColumn
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ORDERS = QualifiedName("Our orders", "shop")
SCHEMA = """
    CREATE SCHEMA shop;
    CREATE TABLE shop."Our orders" (id bigint PRIMARY KEY, country text);
    INSERT INTO shop."Our orders" SELECT n, 'de' FROM generate_series(1, 50) n;
    CREATE TABLE keyless (line text);
    CREATE TABLE parts (a int, b int) PARTITION BY LIST (a);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
    INSERT INTO parts VALUES (1, 1);
    CREATE TABLE mothers (a int);
    CREATE TABLE daughters () INHERITS (mothers);
"""

EMPTY = AddColumn(ORDERS, "straße 'x'", "varchar(20)")
SHARED = AddColumn(ORDERS, "currency", "text", "'EUR'")
REQUIRED = AddColumn(ORDERS, "currency", "text", "'EUR'", not_null=True)
STAMPED = AddColumn(ORDERS, "made_at", "timestamptz", "now()", not_null=True)
OWN = AddColumn(ORDERS, "token", "uuid", "gen_random_uuid()")
OWN_REQUIRED = AddColumn(ORDERS, "token", "uuid", "gen_random_uuid()", not_null=True)

AT_ONCE: tuple[PhaseName, ...] = ("expand", "switch")
IN_PHASES: tuple[PhaseName, ...] = ("expand", "backfill", "validate", "switch")
PHASES_OF: list[tuple[AddColumn, tuple[PhaseName, ...]]] = [
    *((change, AT_ONCE) for change in (EMPTY, SHARED, REQUIRED, STAMPED)),
    *((change, IN_PHASES) for change in (OWN, OWN_REQUIRED)),
]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def one(connection: Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(("change", "names"), PHASES_OF, ids=[str(change) for change, _ in PHASES_OF])
def test_phases(connection: Connection, change: AddColumn, names: tuple[PhaseName, ...]) -> None:
    assert tuple(phase.name for phase in Carried(connection, change).plan.phases) == names


@pytest.mark.parametrize(
    ("change", "done"),
    [(change, names[: end + 1]) for change, names in PHASES_OF for end in range(len(names))],
    ids=str,
)
def test_the_way_back_from_any_phase_restores_the_table(
    connection: Connection, change: AddColumn, done: tuple[PhaseName, ...]
) -> None:
    carried = Carried(connection, change)
    before = table(connection, ORDERS.name, ORDERS.schema)
    carried.up(*done)
    for name in reversed(done):
        carried.down(carried.parts(name))
    after = table(connection, ORDERS.name, ORDERS.schema)
    assert (after.columns, after.constraints) == (before.columns, before.constraints)


@pytest.mark.parametrize(("change", "names"), PHASES_OF, ids=[str(change) for change, _ in PHASES_OF])
def test_no_statement_rewrites_the_table(
    connection: Connection, change: AddColumn, names: tuple[PhaseName, ...]
) -> None:
    file = "SELECT relfilenode FROM pg_class WHERE relname = 'Our orders'"
    before = one(connection, file)
    Carried(connection, change).up(*names)
    assert one(connection, file) == before


@pytest.mark.parametrize(("change", "names"), PHASES_OF, ids=[str(change) for change, _ in PHASES_OF])
def test_the_column_is_as_wished(
    connection: Connection, change: AddColumn, names: tuple[PhaseName, ...]
) -> None:
    Carried(connection, change).up(*names)
    column = table(connection, ORDERS.name, ORDERS.schema).column(change.column)
    assert column is not None
    assert (column.default is None, column.not_null) == (change.default is None, change.not_null)


def test_each_row_gets_a_value_of_its_own(connection: Connection) -> None:
    Carried(connection, OWN_REQUIRED).up(*IN_PHASES)
    assert one(connection, 'SELECT count(DISTINCT token) FROM shop."Our orders"') == 50


def test_old_code_gets_a_value_before_the_backfill(connection: Connection) -> None:
    Carried(connection, OWN_REQUIRED).up("expand")
    assert (
        one(connection, 'INSERT INTO shop."Our orders" (id) VALUES (99) RETURNING token IS NOT NULL') is True
    )


def test_old_code_can_change_a_row_that_has_no_value_yet(connection: Connection) -> None:
    Carried(connection, OWN_REQUIRED).up("expand")
    changed = connection.execute("""UPDATE shop."Our orders" SET country = 'at' WHERE id = 7""")
    assert changed.rowcount == 1


def test_set_not_null_reads_no_row_under_its_strong_lock(connection: Connection) -> None:
    carried = Carried(connection, OWN_REQUIRED)
    carried.up("expand", "backfill")
    notices: list[str] = []
    connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    connection.execute("SET client_min_messages = debug1")
    carried.up("validate")
    assert any("sufficient to prove" in notice for notice in notices)


def test_a_partitioned_table_hands_the_column_on(connection: Connection) -> None:
    Carried(connection, AddColumn(QualifiedName("parts"), "c", "text", "'x'", not_null=True)).up("expand")
    assert one(connection, "SELECT c FROM parts_1") == "x"


REFUSED: dict[str, tuple[AddColumn, type[EvolveError], str]] = {
    "exists": (AddColumn(ORDERS, "country", "text"), Misuse, "already"),
    "required without a default": (AddColumn(ORDERS, "c", "text", not_null=True), Misuse, "--default"),
    "serial": (AddColumn(ORDERS, "c", "bigserial"), Misuse, "serial"),
    "more than a type": (AddColumn(ORDERS, "c", "text UNIQUE"), Misuse, "more than a type"),
    "default of a column": (AddColumn(ORDERS, "c", "text", "country"), Misuse, "knows no other column"),
    "no default at all": (AddColumn(ORDERS, "c", "text", "NULL"), Misuse, "fills nothing"),
    "no key": (AddColumn(QualifiedName("keyless"), "c", "uuid", "gen_random_uuid()"), Refused, "primary key"),
    "partition": (AddColumn(QualifiedName("parts_1"), "c", "text"), Refused, "is a partition"),
    "inheritance": (AddColumn(QualifiedName("mothers"), "c", "text"), Refused, "inheritance"),
    "rows of partitions": (
        AddColumn(QualifiedName("parts"), "c", "uuid", "gen_random_uuid()"),
        Refused,
        "is partitioned",
    ),
}


@pytest.mark.parametrize(("change", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_refused(connection: Connection, change: AddColumn, error: type[EvolveError], says: str) -> None:
    with pytest.raises(error) as raised:
        Carried(connection, change)
    assert says in str(raised.value)
