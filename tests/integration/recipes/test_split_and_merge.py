"""Columns split and merged on a real server: what is made, what is refused, the laws, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from support.changes import Carried, Connection, table
from support.way_back import phases, restores_the_table

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.model import PHASES
from evolve.plan.recipes import find_recipe, make_plan
from evolve.plan.recipes.columns.merge_columns import MergeColumns
from evolve.plan.recipes.columns.split_column import SplitColumn
from evolve.postgres.plan_facts import LiveFacts
from evolve.postgres.trials import attempt
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

PEOPLE = QualifiedName("people")
SCHEMA = """
    CREATE TABLE people (
        id bigint PRIMARY KEY,
        name text NOT NULL DEFAULT 'No Body' CONSTRAINT named CHECK (name <> ''),
        street text,
        number int,
        code varchar(9)
    );
    CREATE UNIQUE INDEX people_name_idx ON people (name, id);
    CREATE INDEX people_street_idx ON people (street);
    GRANT SELECT (name, street, number) ON people TO PUBLIC;
    GRANT UPDATE (street) ON people TO PUBLIC;
    COMMENT ON COLUMN people.name IS 'both names';
    INSERT INTO people SELECT n, 'g' || n || ' F', 'Road', n, 'AB' || n FROM generate_series(1, 40) n;
"""
SPLIT = SplitColumn(
    PEOPLE,
    "name",
    (("given", "split_part(name, ' ', 1)"), ("family", "split_part(name, ' ', 2)")),
    "given || ' ' || family",
)
TYPED = SplitColumn(
    PEOPLE,
    "code",
    (("letters", "rtrim(code, '0123456789')::varchar(4)"), ("digits", "substring(code, '[0-9]+')::integer")),
    "concat(letters, digits)",
)
MERGE = MergeColumns(
    PEOPLE,
    (("address", "concat_ws(' ', street, number)"),),
    (
        ("street", "split_part(address, ' ', 1)"),
        ("number", "nullif(split_part(address, ' ', 2), '')::integer"),
    ),
)
CHANGES: list[Change] = [SPLIT, TYPED, MERGE]
NAMES = ["split", "split typed", "merge"]


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


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_phases(connection: Connection, change: Change) -> None:
    assert phases(connection, change) == PHASES


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_laws_hold(connection: Connection, change: Change) -> None:
    assert tried(connection, change) == []


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_the_way_back_from_any_phase_restores_the_table(connection: Connection, change: Change) -> None:
    assert restores_the_table(connection, change)


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_the_way_back_loses_no_value(connection: Connection, change: Change) -> None:
    query = "SELECT id, name, street, number, code FROM people ORDER BY id"
    before = connection.execute(query).fetchall()
    carried = Carried(connection, change)
    backwards = [carried.parts(name) for name in PHASES]
    carried.up(*PHASES)
    for parts in reversed(backwards):
        carried.down(parts)
    assert connection.execute(query).fetchall() == before


def test_types_come_from_the_cast_at_the_end(connection: Connection) -> None:
    Carried(connection, TYPED).up("expand")
    target = table(connection, "people")
    assert [c.type for c in target.columns if c.name in ("letters", "digits")] == [
        "character varying(4)",
        "integer",
    ]


def test_defaults_are_taken_apart(connection: Connection) -> None:
    Carried(connection, SPLIT).up(*PHASES)
    connection.execute("INSERT INTO people (id) VALUES (99)")
    assert connection.execute("SELECT given, family FROM people WHERE id = 99").fetchone() == ("No", "Body")


def test_privileges_of_all_sources_are_those_of_the_merged_column(connection: Connection) -> None:
    Carried(connection, MERGE).up("expand")
    column = table(connection, "people").column("address")
    assert column is not None
    assert column.grants == (("SELECT", "PUBLIC", False),)


def test_nothing_is_read_or_written_under_a_strong_lock(connection: Connection) -> None:
    before = connection.execute("SELECT relfilenode FROM pg_class WHERE relname = 'people'").fetchone()
    notices: list[str] = []
    connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    connection.execute("SET client_min_messages = debug1")
    Carried(connection, SPLIT).up("expand", "backfill", "validate", "contract", "purge")
    assert (
        connection.execute("SELECT relfilenode FROM pg_class WHERE relname = 'people'").fetchone() == before
    )
    assert not [notice for notice in notices if "verifying" in notice or "rewriting" in notice]


def test_old_constraints_hold_until_purge(connection: Connection) -> None:
    carried = Carried(connection, SPLIT)
    carried.up("expand", "backfill", "validate", "contract")
    with pytest.raises(psycopg.errors.NotNullViolation):
        connection.execute("UPDATE people SET given = NULL WHERE id = 1")
    carried.up("purge")
    connection.execute("UPDATE people SET given = NULL WHERE id = 1")


def test_what_goes_at_purge_is_noted(connection: Connection) -> None:
    notes = make_plan(SPLIT, LiveFacts(connection)).notes
    assert any('constraint "named"' in note and 'index "people_name_idx"' in note for note in notes)


@pytest.mark.parametrize("name", ["only", "three of them"])
def test_rows_that_lose_something_are_noted_by_key(connection: Connection, name: str) -> None:
    connection.execute("UPDATE people SET name = %s WHERE id = 7", (name,))
    (note,) = tried(connection, SPLIT)
    assert (
        f"1 row where given and family cannot tell all that was there: id=7, name='{name}'. Purge is shut"
        in note
    )
    assert "--accept-lost 1" in note


def test_rows_that_the_plan_accepts_are_noted_as_such(connection: Connection) -> None:
    connection.execute("UPDATE people SET name = 'only' WHERE id = 7")
    (note,) = tried(connection, replace(SPLIT, accept_lost=1))
    assert note.endswith("--accept-lost 1 accepts that they lose it at purge.")


def test_an_expression_that_fails_for_a_row_is_refused(connection: Connection) -> None:
    with pytest.raises(Misuse) as refused:
        tried(connection, replace(MERGE, into=(("address", "(street || number)::integer::text"),)))
    assert "invalid input syntax" in refused.value.what


def test_a_shape_that_changes_when_it_goes_round_is_refused(connection: Connection) -> None:
    unsettled = replace(SPLIT, down="family || ' ' || given")
    with pytest.raises(Refused) as refused:
        tried(connection, unsettled)
    assert "for 40 rows" in refused.value.what
    assert "id=1, name='g1 F'" in refused.value.what


def test_a_row_that_cannot_be_put_together_is_told_by_key(connection: Connection) -> None:
    connection.execute("UPDATE people SET street = 'Long Road' WHERE id = 7")
    with pytest.raises(Refused) as refused:
        tried(connection, MERGE)
    assert "for 1 row of" in refused.value.what
    assert "id=7, street='Long Road', number=7" in refused.value.what


REFUSED: dict[str, tuple[str, Change, type[EvolveError], str]] = {
    "unknown column": ("", replace(SPLIT, column="nam"), Misuse, 'no column "nam"'),
    "one column": ("", replace(SPLIT, into=(("given", "name"),), down="given"), Misuse, "is no split"),
    "twice": ("", replace(SPLIT, into=(("a", "name"), ("a", "name")), down="a"), Misuse, "twice"),
    "taken": ("", replace(SPLIT, into=(("a", "name"), ("code", "name")), down="a"), Misuse, "already"),
    "a stranger": ("", replace(SPLIT, into=(("a", "name"), ("b", "street")), down="a"), Misuse, "street"),
    "nobody": ("", replace(SPLIT, into=(("a", "name"), ("b", "'x'")), down="a"), Misuse, "reads no column"),
    "down of the old": ("", replace(SPLIT, down="name || given"), Misuse, "the column it is to fill"),
    "the moment": ("", replace(SPLIT, down="given || now()"), Misuse, "calls now()"),
    "two statements": ("", replace(SPLIT, down="given; DROP TABLE people"), Misuse, "--down"),
    "no such column": ("", replace(SPLIT, down="givn"), Misuse, 'no column "givn"'),
    "view": ("CREATE VIEW v AS SELECT name FROM people", SPLIT, Refused, "view v"),
    "no key": (
        "ALTER TABLE people DROP CONSTRAINT people_pkey; DROP INDEX people_name_idx",
        SPLIT,
        Refused,
        "no primary key",
    ),
    "later trigger": (
        """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER zzz BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION f()""",
        SPLIT,
        Refused,
        'trigger "zzz"',
    ),
    "into two": ("", replace(MERGE, into=(("a", "street"), ("b", "number"))), Misuse, "merged into one"),
    "of one": (
        "",
        replace(MERGE, into=(("a", "street"),), down=(("street", "a"),)),
        Misuse,
        "nothing to merge",
    ),
    "merge of a key": (
        "",
        replace(MERGE, into=(("a", "id || street"),), down=(("id", "a::bigint"), ("street", "a"))),
        Refused,
        "primary key",
    ),
    "merge of an unknown column": (
        "",
        replace(MERGE, down=(("street", "address"), ("nowhere", "address"))),
        Misuse,
        'no column "nowhere"',
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


LONG = "x" * 62


@pytest.mark.parametrize(
    ("name", "old", "new", "other"),
    [
        ("user", "select", "order", "end"),
        ("Users", "Größe", "Höhe", "it's"),
        ("new", "old", "new_side", "old_side"),
        (f"t{LONG}", f"o{LONG}", f"n{LONG}", f"m{LONG}"),
        ("loop", "begin", "if", "strict"),
        ("100%s", "a :b", 'a"b', "c\\d"),
    ],
)
def test_names_of_all_kinds(connection: Connection, name: str, old: str, new: str, other: str) -> None:
    quoted = {
        key: sql.Identifier(value) for key, value in (("t", name), ("o", old), ("n", new), ("m", other))
    }
    o, n, m = (quoted[key].as_string(connection) for key in "onm")
    connection.execute(sql.SQL("CREATE TABLE {t} (id int PRIMARY KEY, {o} text)").format(**quoted))
    connection.execute(sql.SQL("INSERT INTO {t} VALUES (1, 'a b')").format(**quoted))
    change = SplitColumn(
        QualifiedName(name),
        old,
        ((new, f"split_part({o}, ' ', 1)"), (other, f"split_part({o}, ' ', 2)")),
        f"{n} || ' ' || {m}",
    )
    assert tried(connection, change) == []
    assert restores_the_table(connection, change)
