"""A column that moves to another table, on a real server: what is made, carried and refused, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores, tried

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.model import PHASES, PhaseName
from evolve.plan.parameters import ColumnName
from evolve.plan.recipes.columns.move_column import MoveColumn
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

CUSTOMERS, ORDERS = QualifiedName("customers"), QualifiedName("orders")
USERS, PROFILES = QualifiedName("users", "app"), QualifiedName("profiles", "app")

SCHEMA = """
    CREATE TABLE countries (code text PRIMARY KEY);
    INSERT INTO countries VALUES ('de'), ('fr');
    CREATE TABLE customers (id int PRIMARY KEY, name text);
    CREATE TABLE orders (
        id int PRIMARY KEY,
        customer_id int REFERENCES customers,
        payer_id int CONSTRAINT orders_payer REFERENCES customers,
        customer_email text NOT NULL CHECK (customer_email <> ''),
        country text DEFAULT 'de' REFERENCES countries,
        seen timestamptz DEFAULT now(),
        total int,
        CHECK (total > length(country))
    );
    ALTER TABLE orders DROP CONSTRAINT orders_payer;
    CREATE INDEX ON orders (customer_id);
    CREATE INDEX orders_mail ON orders (lower(customer_email)) WHERE customer_email <> 'x';
    CREATE INDEX orders_both ON orders (customer_email, total);
    COMMENT ON COLUMN orders.customer_email IS 'where it''s sent';
    GRANT SELECT (customer_email) ON orders TO PUBLIC;
    INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Eve');
    INSERT INTO orders (id, customer_id, customer_email, total)
        VALUES (10, 1, 'ann@x', 9), (11, 1, 'ann@x', 9), (20, 2, 'bob@x', 9);

    CREATE SCHEMA app;
    CREATE TABLE app.users (id int PRIMARY KEY, nick text COLLATE "C" NOT NULL DEFAULT 'none' UNIQUE, city text);
    CREATE TABLE app.profiles (user_id int PRIMARY KEY REFERENCES app.users ON DELETE CASCADE, bio text);
    INSERT INTO app.users VALUES (1, 'ann'), (2, 'bob');
    INSERT INTO app.profiles VALUES (1), (2);
"""

UP = MoveColumn(ORDERS, "customer_email", ColumnName(CUSTOMERS, "email"))
DOWN = MoveColumn(USERS, "nick", ColumnName(PROFILES, "Nick name"))
CHANGES = [UP, DOWN]
NAMES = ["to the parent", "to the child"]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def value(connection: Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_the_phases(connection: Connection, change: MoveColumn) -> None:
    assert phases(connection, change) == PHASES


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_the_way_back_from_any_phase(connection: Connection, change: MoveColumn) -> None:
    # A column that was dropped and put back stands last; the sources' columns stand last from the start.
    connection.execute("ALTER TABLE app.users DROP COLUMN city")
    connection.execute("ALTER TABLE orders DROP COLUMN total, DROP COLUMN seen, DROP COLUMN country")
    assert restores(connection, change)


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_no_value_is_lost_there_and_back(connection: Connection, change: MoveColumn) -> None:
    query = f"SELECT id, {change.column} FROM {change.table} ORDER BY id".encode()
    before = connection.execute(query).fetchall()
    carried = Carried(connection, change)
    carried.up(*PHASES)
    for name in reversed(PHASES):
        carried.down(carried.parts(name))
    assert connection.execute(query).fetchall() == before


def test_what_hung_on_the_column_hangs_on_the_new_one(connection: Connection) -> None:
    Carried(connection, UP).up(*PHASES)
    customers = table(connection, "customers")
    email = customers.column("email")
    assert email is not None
    assert (email.comment, email.grants) == ("where it's sent", (("SELECT", "PUBLIC", False),))
    assert {(c.definition, c.validated) for c in customers.constraints_on("email")} == {
        ("CHECK ((email <> ''::text))", True)
    }
    assert [i.definition.partition(" USING ")[2] for i in customers.indexes_on("email")] == [
        "btree (lower(email)) WHERE (email <> 'x'::text)"
    ]


def test_each_row_of_a_child_has_one_so_it_is_required(connection: Connection) -> None:
    Carried(connection, DOWN).up(*PHASES)
    profiles = table(connection, "profiles", "app")
    nick = profiles.column("Nick name")
    assert nick is not None
    assert (nick.not_null, nick.default, nick.collation) == (True, "'none'::text", 'pg_catalog."C"')
    assert [(c.kind, c.columns) for c in profiles.constraints_on("Nick name")] == [("unique", ("Nick name",))]


def test_a_parent_need_not_have_children_so_it_is_not_required(connection: Connection) -> None:
    carried = Carried(connection, UP)
    carried.up(*PHASES)
    email = table(connection, "customers").column("email")
    assert email is not None
    assert not email.not_null
    assert any("evolve plan set-not-null customers.email" in note for note in carried.plan.notes)


def test_what_cannot_be_made_again_is_told(connection: Connection) -> None:
    assert any('index "orders_both"' in note for note in Carried(connection, UP).plan.notes)


def test_new_code_inserts_without_the_old_column(connection: Connection) -> None:
    Carried(connection, UP).up("expand")
    connection.execute("INSERT INTO orders (id, customer_id) VALUES (30, 3)")
    connection.execute("UPDATE customers SET email = 'eve@x' WHERE id = 3")
    assert value(connection, "SELECT customer_email FROM orders WHERE id = 30") == "eve@x"


def test_after_contract_the_quarantined_column_follows(connection: Connection) -> None:
    carried = Carried(connection, UP)
    carried.up("expand", "backfill", "validate", "contract")
    connection.execute("UPDATE customers SET email = 'new@x' WHERE id = 1")
    carried.down(carried.parts("contract"))
    assert value(connection, "SELECT DISTINCT customer_email FROM orders WHERE customer_id = 1") == "new@x"


def test_contract_waits_for_values_without_a_home(connection: Connection) -> None:
    carried = Carried(connection, UP)
    carried.up("expand", "backfill", "validate")
    connection.execute("INSERT INTO orders (id, customer_email) VALUES (40, 'nobody@x')")
    with pytest.raises(psycopg.Error, match="has a row of customers to hold it"):
        carried.up("contract")


def test_expand_stops_where_orders_of_one_customer_disagree(connection: Connection) -> None:
    carried = Carried(connection, UP)
    connection.execute("UPDATE orders SET customer_email = 'other' WHERE id = 11")
    with pytest.raises(psycopg.Error, match="have the same customer_email"):
        carried.up("expand")


def test_rows_that_disagree_are_told_by_key(connection: Connection) -> None:
    connection.execute("UPDATE orders SET customer_email = 'other' WHERE id = 11")
    with pytest.raises(Refused) as refused:
        tried(connection, UP)
    assert "id=10, customer_email='ann@x'; id=11, customer_email='other'" in str(refused.value)


def test_values_without_a_home_are_noted(connection: Connection) -> None:
    connection.execute("INSERT INTO orders (id, customer_email) VALUES (40, 'nobody@x')")
    (note,) = tried(connection, UP)
    assert note.startswith(
        "1 row where customer_email is given and customers has no row to hold it; contract waits for them: id=40"
    )


def test_tables_of_another_schema_are_tried(connection: Connection) -> None:
    assert tried(connection, DOWN) == []


def test_several_keys_must_be_told_apart(connection: Connection) -> None:
    connection.execute(
        "ALTER TABLE orders ADD CONSTRAINT orders_payer FOREIGN KEY (payer_id) REFERENCES customers"
    )
    with pytest.raises(Misuse, match="--foreign-key"):
        Carried(connection, UP)
    Carried(connection, replace(UP, foreign_key="orders_customer_id_fkey"))


REFUSED: list[tuple[str, MoveColumn, type[EvolveError], str]] = [
    ("", replace(UP, column="nobody"), Misuse, "no column"),
    ("", replace(UP, to=ColumnName(CUSTOMERS, "name")), Misuse, "has a column"),
    ("", replace(UP, to=ColumnName(ORDERS, "other")), Misuse, "both columns are of table"),
    ("", replace(UP, foreign_key="nothing"), Misuse, "is no foreign key between"),
    ("", MoveColumn(ORDERS, "total", ColumnName(PROFILES, "total")), Refused, "no foreign key joins"),
    ("", MoveColumn(ORDERS, "customer_id", ColumnName(CUSTOMERS, "x")), Refused, "by .* itself"),
    ("", MoveColumn(ORDERS, "seen", ColumnName(CUSTOMERS, "seen")), Refused, "function call"),
    ("", MoveColumn(ORDERS, "country", ColumnName(CUSTOMERS, "country")), Refused, "reads other columns too"),
    ("DROP INDEX orders_customer_id_idx", UP, Refused, "no index of"),
    ("CREATE VIEW v AS SELECT customer_email FROM orders", UP, Refused, "used by view"),
    ("CREATE UNIQUE INDEX ON orders (customer_email) WHERE id > 100", UP, Refused, "unique index"),
    ("ALTER TABLE orders ADD UNIQUE (customer_email, id)", UP, Refused, "reads other columns too"),
    ("ALTER TABLE orders ADD CHECK (customer_email IS NOT NULL)", UP, Refused, "may refuse null"),
    ("ALTER TABLE customers FORCE ROW LEVEL SECURITY", UP, Refused, "row level security is forced"),
    ("CREATE TABLE more () INHERITS (customers)", UP, Refused, "takes part in inheritance"),
]


@pytest.mark.parametrize(("before", "change", "kind", "message"), REFUSED)
def test_what_is_refused(
    connection: Connection, before: str, change: MoveColumn, kind: type[EvolveError], message: str
) -> None:
    if before:
        connection.execute(before.encode())
    with pytest.raises(kind, match=message):
        tried(connection, change)


HOSTILE = ["User", "select", "begin", 'a"b', "it's", "100%s :x", "größe", "partner", "x" * 63]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_all_kinds(connection: Connection, name: str) -> None:
    source, target = QualifiedName(name), QualifiedName(name, "app")
    quoted = '"' + name.replace('"', '""') + '"'
    connection.execute(
        f"CREATE TABLE app.{quoted} (id int PRIMARY KEY);"
        f"CREATE TABLE {quoted} (id int PRIMARY KEY, k int REFERENCES app.{quoted}, {quoted} text NOT NULL);"
        f"CREATE INDEX ON {quoted} (k); CREATE INDEX ON {quoted} ({quoted});"
        f"INSERT INTO app.{quoted} VALUES (1); INSERT INTO {quoted} VALUES (1, 1, 'v')".encode()
    )
    carried = Carried(connection, MoveColumn(source, name, ColumnName(target, name)))
    carried.up(*PHASES)
    moved = value(connection, f"SELECT {quoted} FROM app.{quoted}")
    for phase in reversed(PHASES):
        carried.down(carried.parts(phase))
    assert (moved, value(connection, f"SELECT {quoted} FROM {quoted}")) == ("v", "v")


STRONGEST: list[tuple[PhaseName, int, set[tuple[str, str]]]] = [
    ("expand", 0, {("customers", "AccessExclusiveLock")}),
    ("expand", 1, {("orders", "AccessExclusiveLock")}),
    ("contract", 0, set()),
    ("contract", 1, {("customers", "ShareRowExclusiveLock"), ("orders", "AccessExclusiveLock")}),
    ("purge", 0, {("customers", "AccessExclusiveLock")}),
    ("purge", 1, {("orders", "AccessExclusiveLock")}),
]


@pytest.mark.parametrize(("phase", "number", "expected"), STRONGEST)
def test_the_locks_of_each_revision(
    connection: Connection, phase: PhaseName, number: int, expected: set[tuple[str, str]]
) -> None:
    """Only the one that renames the old column locks both tables."""
    carried = Carried(connection, UP)
    carried.up(*PHASES[: PHASES.index(phase)])
    for part in carried.parts(phase)[:number]:
        carried.again(part)
    with connection.transaction():
        carried.again(carried.parts(phase)[number])
        locks = connection.execute(
            "SELECT relation::regclass::text, mode FROM pg_locks WHERE pid = pg_backend_pid() AND granted"
            " AND relation IN ('orders'::regclass, 'customers'::regclass)"
            " AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
        ).fetchall()
    strongest = {(str(name), str(mode)) for name, mode in locks}
    if any(mode == "AccessExclusiveLock" for _, mode in strongest):
        strongest = {
            (name, mode)
            for name, mode in strongest
            if mode == "AccessExclusiveLock" or (name, "AccessExclusiveLock") not in strongest
        }
    assert strongest == expected
