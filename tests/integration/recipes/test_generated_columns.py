"""Generated columns on a real server: added, changed, and made plain."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from support.changes import Carried, Connection, table
from support.way_back import phases, restores_the_table

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.model import PhaseName
from evolve.plan.recipes import find_recipe, make_plan
from evolve.plan.recipes.columns.add_generated_column import AddGeneratedColumn
from evolve.plan.recipes.columns.change_generated_column import ChangeGeneratedColumn
from evolve.plan.recipes.columns.drop_generated_expression import DropGeneratedExpression
from evolve.postgres.plan_facts import LiveFacts
from evolve.postgres.trials import attempt
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ITEMS = QualifiedName("items")
SCHEMA = """
    CREATE TABLE items (
        id int PRIMARY KEY,
        price numeric(8,2) NOT NULL,
        count int NOT NULL DEFAULT 1,
        note json,
        total numeric(10,2) GENERATED ALWAYS AS (price * count) STORED NOT NULL CHECK (total >= 0)
    );
    CREATE INDEX items_total_idx ON items (total) WHERE count > 0;
    COMMENT ON COLUMN items.total IS 'in euros';
    GRANT SELECT (total) ON items TO PUBLIC;
    INSERT INTO items (id, price, count) SELECT n, n, n % 5 FROM generate_series(1, 50) n;
"""
ADDED = AddGeneratedColumn(ITEMS, "half", "numeric(10,2)", "price / 2")
CHANGED = ChangeGeneratedColumn(ITEMS, "total", "price * count * 1.19")
PLAIN = DropGeneratedExpression(ITEMS, "total")
VIRTUAL = AddGeneratedColumn(ITEMS, "half", "numeric", "price / 2", virtual=True)
FOUR: tuple[PhaseName, ...] = ("expand", "backfill", "validate", "switch")
ROADS: list[tuple[Change, tuple[PhaseName, ...]]] = [
    (ADDED, FOUR),
    (CHANGED, FOUR),
    (PLAIN, ("expand", "switch", "contract")),
]
NAMES = ["added", "changed", "plain"]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def tried(connection: Connection, change: Change) -> list[str]:
    recipe = find_recipe(change.kind)
    assert recipe is not None
    notes = [attempt(connection, trial) for trial in recipe.trials(change, LiveFacts(connection))]
    return [note for note in notes if note is not None]


def file(connection: Connection) -> object:
    return connection.execute("SELECT relfilenode FROM pg_class WHERE relname = 'items'").fetchone()


@pytest.mark.parametrize(("change", "expected"), ROADS, ids=NAMES)
def test_phases(connection: Connection, change: Change, expected: tuple[PhaseName, ...]) -> None:
    assert phases(connection, change) == expected


@pytest.mark.parametrize("change", [change for change, _ in ROADS], ids=NAMES)
def test_the_way_back_from_any_phase_restores_the_table(connection: Connection, change: Change) -> None:
    assert restores_the_table(connection, change)


@pytest.mark.parametrize(("change", "names"), ROADS, ids=NAMES)
def test_no_row_is_written_under_a_strong_lock(
    connection: Connection, change: Change, names: tuple[PhaseName, ...]
) -> None:
    before = file(connection)
    notices: list[str] = []
    connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    connection.execute("SET client_min_messages = debug1")
    Carried(connection, change).up(*names)
    assert file(connection) == before
    assert not [notice for notice in notices if "rewriting" in notice or "verifying" in notice]


def test_a_stored_column_would_have_been_written_into_each_row(connection: Connection) -> None:
    """What the trigger and the batches are for."""
    before = file(connection)
    connection.execute("ALTER TABLE items ADD COLUMN half numeric GENERATED ALWAYS AS (price / 2) STORED")
    assert file(connection) != before


def test_an_added_column_is_right_in_every_row(connection: Connection) -> None:
    Carried(connection, ADDED).up("expand", "backfill", "validate")
    connection.execute("INSERT INTO items (id, price, half) VALUES (99, 8, 1)")
    connection.execute("UPDATE items SET price = 20 WHERE id = 1")
    connection.execute("UPDATE items SET half = 0 WHERE id = 2")
    assert connection.execute("SELECT count(*) FROM items WHERE half <> price / 2").fetchone() == (0,)


def test_a_changed_column_is_right_in_every_row(connection: Connection) -> None:
    Carried(connection, CHANGED).up("expand", "backfill", "validate")
    connection.execute("UPDATE items SET price = 20 WHERE id = 1")
    wrong = "SELECT count(*) FROM items WHERE total <> round(price * count * 1.19, 2)"
    assert connection.execute(wrong).fetchone() == (0,)


def test_what_hangs_on_a_changed_column_stays(connection: Connection) -> None:
    before = table(connection, "items")
    Carried(connection, CHANGED).up(*FOUR)
    after = table(connection, "items")
    assert [(i.name, i.definition) for i in after.indexes] == [(i.name, i.definition) for i in before.indexes]
    assert set(after.constraints) == set(before.constraints)


# What is written while old code and new code are about, and the total that the row then has.
CASES = {
    "old insert": ("INSERT INTO items (id, price, count) VALUES (99, 3, 2)", 99, 6),
    "new insert": ("INSERT INTO items (id, price, count, total) VALUES (99, 3, 2, 5)", 99, 5),
    "old update": ("UPDATE items SET price = 10 WHERE id = 1", 1, 10),
    "new update": ("UPDATE items SET price = 10, total = 7 WHERE id = 1", 1, 7),
    "new update of it alone": ("UPDATE items SET total = 7 WHERE id = 1", 1, 7),
    "update of something else": ("UPDATE items SET note = '{}' WHERE id = 1", 1, 1),
    "upsert": (
        "INSERT INTO items (id, price) VALUES (1, 4) ON CONFLICT (id) DO UPDATE SET price = EXCLUDED.price",
        1,
        4,
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_a_plain_column_is_computed_for_code_that_does_not_write_it(
    connection: Connection, case: str
) -> None:
    statement, key, total = CASES[case]
    Carried(connection, PLAIN).up("expand")
    connection.execute(statement.encode())
    assert connection.execute("SELECT total FROM items WHERE id = %s", (key,)).fetchone() == (total,)


def test_a_written_value_stays_when_something_else_is_written(connection: Connection) -> None:
    Carried(connection, PLAIN).up("expand")
    connection.execute("UPDATE items SET total = 7 WHERE id = 1")
    connection.execute("UPDATE items SET note = '{}' WHERE id = 1")
    assert connection.execute("SELECT total FROM items WHERE id = 1").fetchone() == (7,)


def test_values_stay_when_the_expression_goes(connection: Connection) -> None:
    query = "SELECT id, total FROM items ORDER BY id"
    before = connection.execute(query).fetchall()
    Carried(connection, PLAIN).up("expand", "contract")
    assert connection.execute(query).fetchall() == before
    connection.execute("UPDATE items SET price = 10 WHERE id = 1")
    assert connection.execute(query).fetchall() == before


def test_virtual_columns_are_there_at_once(connection: Connection) -> None:
    if connection.info.server_version < 180000:
        with pytest.raises(Refused, match="came with PostgreSQL 18"):
            make_plan(VIRTUAL, LiveFacts(connection))
        return
    before = file(connection)
    assert phases(connection, VIRTUAL) == ("expand",)
    assert restores_the_table(connection, VIRTUAL)
    Carried(connection, VIRTUAL).up("expand")
    changed = ChangeGeneratedColumn(ITEMS, "half", "price / 4")
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        connection.execute("ALTER TABLE items ALTER half SET EXPRESSION AS (price / 4)")
    with pytest.raises(Refused, match="has a check"):
        make_plan(changed, LiveFacts(connection))
    connection.execute("ALTER TABLE items DROP CONSTRAINT items_total_check")
    assert phases(connection, changed) == ("expand",)
    assert restores_the_table(connection, changed)
    Carried(connection, changed).up("expand")
    assert file(connection) == before
    assert connection.execute("SELECT half FROM items WHERE id = 8").fetchone() == (2,)
    with pytest.raises(Refused, match="is virtual"):
        make_plan(DropGeneratedExpression(ITEMS, "half"), LiveFacts(connection))


def test_an_expression_that_fails_for_a_row_is_refused(connection: Connection) -> None:
    with pytest.raises(Misuse, match="division by zero"):
        tried(connection, AddGeneratedColumn(ITEMS, "each", "numeric", "price / count"))


def test_an_expression_that_gives_null_for_a_column_that_is_not_null_is_refused(
    connection: Connection,
) -> None:
    with pytest.raises(Misuse, match="gives null"):
        tried(connection, ChangeGeneratedColumn(ITEMS, "total", "price / nullif(count, 0)"))


REFUSED: dict[str, tuple[str, Change, type[EvolveError], str]] = {
    "exists": ("", AddGeneratedColumn(ITEMS, "total", "int", "count"), Misuse, "already"),
    "unknown": ("", AddGeneratedColumn(ITEMS, "x", "int", "cuont"), Misuse, 'no column "cuont"'),
    "constant": ("", AddGeneratedColumn(ITEMS, "x", "int", "1"), Misuse, "reads no column"),
    "the moment": (
        "",
        AddGeneratedColumn(ITEMS, "x", "date", "now() + id * interval '1 day'"),
        Misuse,
        "now()",
    ),
    "generated itself": (
        "",
        AddGeneratedColumn(ITEMS, "x", "numeric", "total * 2"),
        Misuse,
        "generated itself",
    ),
    "not generated": ("", ChangeGeneratedColumn(ITEMS, "price", "count"), Misuse, "is not generated"),
    "the same": ("", ChangeGeneratedColumn(ITEMS, "total", "price*count"), Misuse, "like that already"),
    "plain already": ("", DropGeneratedExpression(ITEMS, "price"), Misuse, "is not generated"),
    "no key": ("ALTER TABLE items DROP CONSTRAINT items_pkey", ADDED, Refused, "no primary key"),
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


@pytest.mark.parametrize(
    ("name", "source", "column"),
    [
        ("user", "select", "order"),
        ("Größe", 'a"b', "c'd"),
        ("new", "old", "this_row"),
        ("t" * 63, "s" * 63, "c" * 63),
    ],
)
def test_names_of_all_kinds(connection: Connection, name: str, source: str, column: str) -> None:
    identifier = sql.Identifier
    quoted = identifier(source).as_string(connection)
    connection.execute(
        sql.SQL("CREATE TABLE {} (id int PRIMARY KEY, {} int)").format(identifier(name), identifier(source))
    )
    change = AddGeneratedColumn(QualifiedName(name), column, "int", f"{quoted} + 1")
    assert tried(connection, change) == []
    assert restores_the_table(connection, change)
