"""add-table on a real server: what it locks, whom it serves, what is refused, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.recipes.tables.add_table import AddTable
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

NEW = QualifiedName("Größe 'n", "shop")
POINTING = AddTable(
    NEW, "id bigint PRIMARY KEY, order_id bigint REFERENCES orders, up bigint REFERENCES orders (id)"
)
SCHEMA = """
    CREATE SCHEMA shop;
    CREATE TABLE orders (id bigint PRIMARY KEY, note text NOT NULL DEFAULT 'x');
    CREATE TABLE users (id bigint PRIMARY KEY);
    CREATE TYPE mood AS ENUM ('good');
    GRANT SELECT ON orders TO PUBLIC;
    GRANT INSERT ON orders TO pg_monitor WITH GRANT OPTION;
    GRANT UPDATE (note) ON orders TO pg_monitor;
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def test_there_and_back(connection: Connection) -> None:
    carried = Carried(connection, POINTING)
    carried.up("expand", "switch")
    assert [column.name for column in table(connection, NEW.name, NEW.schema).columns] == [
        "id",
        "order_id",
        "up",
    ]
    carried.down(carried.parts("expand"))
    assert LiveFacts(connection).relation(NEW) is None


def test_only_writers_of_the_one_other_table_wait(connection: Connection) -> None:
    carried = Carried(connection, POINTING)
    with connection.transaction():
        for statement in carried.parts("expand")[0].statements:
            connection.execute(statement.sql.encode())
        modes = connection.execute(
            "SELECT DISTINCT mode FROM pg_locks WHERE relation = 'orders'::regclass ORDER BY 1"
        ).fetchall()
    assert ("ShareRowExclusiveLock",) in modes
    assert ("AccessExclusiveLock",) not in modes


def test_privileges_like_those_of_another_table(connection: Connection) -> None:
    Carried(connection, AddTable(NEW, "LIKE orders", QualifiedName("orders"))).up("expand")
    made = table(connection, NEW.name, NEW.schema)
    assert made.grants == table(connection, "orders").grants


def test_like_copies_what_it_includes(connection: Connection) -> None:
    carried = Carried(connection, AddTable(NEW, "LIKE orders INCLUDING ALL, more int -- and a comment"))
    carried.up("expand")
    made = table(connection, NEW.name, NEW.schema)
    assert (made.key, made.columns[1].default, made.columns[-1].name) == (("id",), "'x'::text", "more")
    assert "primary key" not in " ".join(carried.plan.notes)


def test_the_plan_tells_of_a_missing_key_and_missing_privileges(connection: Connection) -> None:
    notes = " ".join(Carried(connection, AddTable(NEW, "id bigint")).plan.notes)
    assert "no primary key" in notes
    assert "--grants-like" in notes


def test_a_table_may_point_to_itself(connection: Connection) -> None:
    Carried(connection, AddTable(QualifiedName("tree"), "id int PRIMARY KEY, up int REFERENCES tree")).up(
        "expand"
    )


REFUSED: dict[str, tuple[AddTable, type[EvolveError], str]] = {
    "table": (AddTable(QualifiedName("orders"), "id int"), Misuse, "name of a table"),
    "index": (AddTable(QualifiedName("orders_pkey"), "id int"), Misuse, "name of a index"),
    "type": (AddTable(QualifiedName("mood"), "id int"), Misuse, "type"),
    "syntax": (AddTable(NEW, "id int,"), Misuse, "cannot be read"),
    "another statement": (
        AddTable(NEW, "id int); DROP TABLE orders; CREATE TABLE x (y int"),
        Misuse,
        "more than",
    ),
    "partitioned": (AddTable(NEW, "id int) PARTITION BY LIST (id"), Misuse, "more than"),
    "inherits": (AddTable(NEW, "id int) INHERITS (orders"), Misuse, "more than"),
    "target": (AddTable(NEW, "id int REFERENCES nothing"), Misuse, "no table"),
    "model": (AddTable(NEW, "id int", QualifiedName("nothing")), Misuse, "no table"),
    "many": (AddTable(NEW, "a int REFERENCES orders, b int REFERENCES users"), Refused, "2 tables"),
}


@pytest.mark.parametrize(("change", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_refused(connection: Connection, change: AddTable, error: type[EvolveError], says: str) -> None:
    with pytest.raises(error) as raised:
        Carried(connection, change)
    assert says in str(raised.value)
