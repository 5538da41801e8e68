"""The sync trigger over groups of columns: every way of writing a row whose shapes are several columns on a side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql
from support.changes import Carried, Connection

from evolve.plan.change import Change
from evolve.plan.recipes.columns.merge_columns import MergeColumns
from evolve.plan.recipes.columns.split_column import SplitColumn
from evolve.plan.sync import OnConflict
from evolve.postgres import scratch
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

GIVEN = "split_part(whole, ' ', 1)"
FAMILY = "nullif(substr(whole, length(split_part(whole, ' ', 1)) + 2), '')"
WHOLE = "nullif(concat_ws(' ', given, family), '')"


@dataclass(frozen=True)
class Shapes:
    """What both shapes hold: `whole` beside `given` and `family`."""

    table: QualifiedName
    columns: str  # of the old shape
    change: Callable[[QualifiedName, OnConflict], Change]
    first: str  # an INSERT of row 1 before expand


def split(table: QualifiedName, on_conflict: OnConflict = "raise") -> Change:
    return SplitColumn(table, "whole", (("given", GIVEN), ("family", FAMILY)), WHOLE, on_conflict)


def merge(table: QualifiedName, on_conflict: OnConflict = "raise") -> Change:
    return MergeColumns(table, (("whole", WHOLE),), (("given", GIVEN), ("family", FAMILY)), on_conflict)


SHAPES = {
    "split": Shapes(
        QualifiedName("people"), "whole text DEFAULT 'No Body'", split, "(id, whole) VALUES (1, 'a A')"
    ),
    "merge": Shapes(
        QualifiedName("people"),
        "given text DEFAULT 'No', family text DEFAULT 'Body'",
        merge,
        "(id, given, family) VALUES (1, 'a', 'A')",
    ),
    "split in another schema": Shapes(
        QualifiedName("Leute", "app"),
        "whole text DEFAULT 'No Body'",
        split,
        "(id, whole) VALUES (1, 'a A')",
    ),
}
SCHEMA = "CREATE SCHEMA IF NOT EXISTS app"


class Table:
    def __init__(self, connection: Connection, shapes: Shapes, on_conflict: OnConflict = "raise") -> None:
        self.connection = connection
        self.shapes = shapes
        self.name = sql.Identifier(shapes.table.schema, shapes.table.name)
        connection.execute(SCHEMA)
        self.run("CREATE TABLE {t} (id int PRIMARY KEY, other text, " + shapes.columns + ")")
        self.run("INSERT INTO {t} " + shapes.first)
        Carried(connection, shapes.change(shapes.table, on_conflict)).up("expand")

    def run(self, text: str) -> None:
        self.connection.execute(text.replace("{t}", self.name.as_string(self.connection)).encode())

    def row(self, key: int) -> tuple[object, ...]:
        found = self.connection.execute(
            sql.SQL("SELECT whole, given, family FROM {t} WHERE id = {key}").format(
                t=self.name, key=sql.Literal(key)
            )
        ).fetchone()
        assert found is not None
        return tuple(found)


@pytest.fixture(scope="module", params=list(SHAPES))
def shaped(request: pytest.FixtureRequest, scratch_server: scratch.Server) -> Iterator[Table]:
    """One table per pair of shapes, for all cases: each undoes what it did."""
    url = scratch_server.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        yield Table(connection, SHAPES[request.param])
    scratch_server.drop_database(url)


@pytest.fixture
def people(shaped: Table) -> Iterator[Table]:
    with shaped.connection.transaction(force_rollback=True):
        yield shaped


UPSERT = "ON CONFLICT (id) DO UPDATE SET"
# What is written, the row looked at, and what it must then hold; row 1 is from before, row 9 was written since.
CASES: dict[str, tuple[str, int, tuple[str | None, str | None, str | None]]] = {
    "a row from before is filled by any update": (
        "UPDATE {t} SET other = 'x' WHERE id = 1",
        1,
        ("a A", "a", "A"),
    ),
    "insert of the whole": ("INSERT INTO {t} (id, whole) VALUES (2, 'b B')", 2, ("b B", "b", "B")),
    "insert of the parts": (
        "INSERT INTO {t} (id, given, family) VALUES (2, 'b', 'B')",
        2,
        ("b B", "b", "B"),
    ),
    "insert of neither": ("INSERT INTO {t} (id) VALUES (2)", 2, ("No Body", "No", "Body")),
    "insert of null for the whole": (
        "INSERT INTO {t} (id, whole) VALUES (2, NULL)",
        2,
        (None, None, None),
    ),
    "insert of nulls for the parts": (
        "INSERT INTO {t} (id, given, family) VALUES (2, NULL, NULL)",
        2,
        (None, None, None),
    ),
    "insert of one part": (
        "INSERT INTO {t} (id, given, family) VALUES (2, 'b', NULL)",
        2,
        ("b", "b", None),
    ),
    "update of the whole": ("UPDATE {t} SET whole = 'c C' WHERE id = 9", 9, ("c C", "c", "C")),
    "update of the parts": (
        "UPDATE {t} SET given = 'c', family = 'C' WHERE id = 9",
        9,
        ("c C", "c", "C"),
    ),
    "update of one part": ("UPDATE {t} SET family = 'C' WHERE id = 9", 9, ("b C", "b", "C")),
    "update of the whole to null": ("UPDATE {t} SET whole = NULL WHERE id = 9", 9, (None, None, None)),
    "update of the parts to null": (
        "UPDATE {t} SET given = NULL, family = NULL WHERE id = 9",
        9,
        (None, None, None),
    ),
    "update of one part to null": ("UPDATE {t} SET family = NULL WHERE id = 9", 9, ("b", "b", None)),
    "update of the whole of a row not yet filled": (
        "UPDATE {t} SET whole = 'c C' WHERE id = 1",
        1,
        ("c C", "c", "C"),
    ),
    "update of the parts of a row not yet filled": (
        "UPDATE {t} SET given = 'c', family = 'C' WHERE id = 1",
        1,
        ("c C", "c", "C"),
    ),
    "update of one part of a row not yet filled": (
        "UPDATE {t} SET given = 'c' WHERE id = 1",
        1,
        ("c A", "c", "A"),
    ),
    "update of both, consistent": (
        "UPDATE {t} SET whole = 'c C', given = 'c', family = 'C' WHERE id = 9",
        9,
        ("c C", "c", "C"),
    ),
    "insert of both, consistent": (
        "INSERT INTO {t} (id, whole, given, family) VALUES (2, 'c C', 'c', 'C')",
        2,
        ("c C", "c", "C"),
    ),
    "update of something else": ("UPDATE {t} SET other = 'x' WHERE id = 9", 9, ("b B", "b", "B")),
    "update to the same values": (
        "UPDATE {t} SET whole = whole, given = given WHERE id = 9",
        9,
        ("b B", "b", "B"),
    ),
    "upsert of the whole": (
        f"INSERT INTO {{t}} (id, whole) VALUES (9, 'c C') {UPSERT} whole = EXCLUDED.whole",
        9,
        ("c C", "c", "C"),
    ),
    "upsert of the parts": (
        f"INSERT INTO {{t}} (id, given, family) VALUES (9, 'c', 'C') "
        f"{UPSERT} given = EXCLUDED.given, family = EXCLUDED.family",
        9,
        ("c C", "c", "C"),
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_both_shapes_hold_what_was_written(people: Table, case: str) -> None:
    statement, key, expected = CASES[case]
    people.run("INSERT INTO {t} (id, whole) VALUES (9, 'b B')")
    people.run(statement)
    assert people.row(key) == expected


@pytest.mark.parametrize("path", ["pg_temp", "", "v2, public", '"$user"'])
def test_no_search_path_changes_the_direction(people: Table, path: str) -> None:
    people.connection.execute("SELECT set_config('search_path', %s, true)", (path,))
    people.run("INSERT INTO {t} (id, given, family) VALUES (2, 'b', 'B')")
    people.run("INSERT INTO {t} (id, whole) VALUES (3, 'c C')")
    assert (people.row(2), people.row(3)) == (("b B", "b", "B"), ("c C", "c", "C"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {t} SET whole = 'b B', given = 'c' WHERE id = 1",
        "INSERT INTO {t} (id, whole, given, family) VALUES (2, 'b B', 'c', 'C')",
    ],
)
def test_two_different_values_in_one_statement_are_refused(people: Table, statement: str) -> None:
    with pytest.raises(psycopg.errors.SerializationFailure, match="different values"):
        people.run(statement)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    ("policy", "expected"), [("new-wins", ("c C", "c", "C")), ("old-wins", ("b B", "b", "B"))]
)
def test_a_policy_may_decide_instead(
    connection: Connection, policy: OnConflict, expected: tuple[str, str, str]
) -> None:
    people = Table(connection, SHAPES["split"], policy)
    people.run("UPDATE {t} SET whole = 'b B', given = 'c', family = 'C' WHERE id = 1")
    assert people.row(1) == expected


def test_what_the_new_shape_cannot_tell_is_not_lost_to_the_backfill(connection: Connection) -> None:
    """Filling the new columns is no write of theirs."""
    table = QualifiedName("people")
    connection.execute("CREATE TABLE people (id int PRIMARY KEY, whole text)")
    connection.execute("INSERT INTO people VALUES (1, 'a M A')")
    change = SplitColumn(
        table,
        "whole",
        (("given", "split_part(whole, ' ', 1)"), ("family", "split_part(whole, ' ', 3)")),
        "given || ' ' || family",
    )
    Carried(connection, change).up("expand", "backfill")
    assert connection.execute("SELECT whole, given, family FROM people").fetchall() == [("a M A", "a", "A")]


def test_a_new_value_that_was_there_all_along_leaves_the_old_one_alone(connection: Connection) -> None:
    people = Table(connection, SHAPES["split"])
    people.run("UPDATE {t} SET whole = '  ' WHERE id = 1")
    people.run("UPDATE {t} SET other = 'x' WHERE id = 1")
    assert people.row(1)[0] == "  "


def test_default_that_is_a_function_call(connection: Connection) -> None:
    shapes = Shapes(
        QualifiedName("people"),
        "whole text DEFAULT (gen_random_uuid()::text || ' B')",
        split,
        "(id, whole) VALUES (1, 'a A')",
    )
    people = Table(connection, shapes)
    people.run("INSERT INTO {t} (id) VALUES (2)")
    people.run("INSERT INTO {t} (id, given, family) VALUES (3, 'c', 'C')")
    whole, given, family = people.row(2)
    assert whole == f"{given} {family}"
    assert people.row(3) == ("c C", "c", "C")


def test_sessions_that_skip_triggers_are_kept_in_step(connection: Connection) -> None:
    people = Table(connection, SHAPES["merge"])
    connection.execute("SET session_replication_role = replica")
    people.run("INSERT INTO {t} (id, whole) VALUES (2, 'b B')")
    assert people.row(2) == ("b B", "b", "B")
