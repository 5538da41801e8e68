"""The sync trigger on a real server: every way of writing a row, for types and names of all kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql
from support.changes import Carried

from evolve.plan.recipes.columns.rename_column import RenameColumn
from evolve.plan.sync import OnConflict
from evolve.postgres import scratch
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

MakeDatabase = Callable[..., str]


PEOPLE = QualifiedName("people")


@dataclass(frozen=True)
class Shape:
    """A table `table` with columns id, `old` (of `type`, default `default`), and other; three values of the type."""

    type: str = "text"
    values: tuple[str, str, str] = ("'a'", "'b'", "'c'")
    default: str | None = "'d'"
    table: QualifiedName = PEOPLE
    old: str = "name"
    new: str = "full_name"
    before: str = ""  # DDL that comes first


LONG = "x" * 62

SHAPES = {
    "text": Shape(),
    "without default": Shape(default=None),
    "varchar": Shape("varchar(40)"),
    "collated": Shape('text COLLATE "C"'),
    "integer": Shape("integer", ("1", "2", "3"), "7"),
    "numeric": Shape("numeric", ("1.0", "1.00", "1.000"), "7"),
    "numeric of a scale": Shape("numeric(10,2)", ("1", "2", "3"), "7"),
    "double": Shape("double precision", ("1", "2", "'NaN'"), "'-0'"),
    "jsonb": Shape("jsonb", ("""'{"a": 1}'""", """'{"a": 1.0}'""", "'[]'"), "'{}'"),
    "json, which has no equality": Shape("json", ("""'{"a":1}'""", """'{"a": 1}'""", "'[]'"), "'{}'"),
    "timestamptz": Shape("timestamptz", ("'2024-01-01'", "'2025-01-01'", "'infinity'"), "'epoch'"),
    "interval": Shape("interval", ("'1 day'", "'24 hours'", "'2 days'"), "'0'"),
    "uuid": Shape("uuid", tuple(f"'{i}0000000-0000-0000-0000-000000000000'" for i in "123"), None),
    "array": Shape("text[]", ("'{a}'", "'{a,NULL}'", "'{}'"), "'{d}'"),
    "char": Shape("char(5)", ("'a'", "'b'", "'c'"), "'d'"),
    "enum": Shape(
        "mood",
        ("'sad'", "'ok'", "'glad'"),
        "'ok'::mood",
        before="CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad')",
    ),
    "enum of another schema": Shape(
        "app.mood",
        ("'sad'", "'ok'", "'glad'"),
        "'new'::app.mood",
        before="CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'glad', 'new')",
    ),
    "domain": Shape("label", before="CREATE DOMAIN label AS text CHECK (length(VALUE) < 9)"),
    "another schema": Shape(table=QualifiedName("people", "app"), before="CREATE SCHEMA app"),
    "mixed case": Shape(table=QualifiedName("People"), old="Name", new="Full Name"),
    "reserved words": Shape(table=QualifiedName("user"), old="select", new="order"),
    "words of PL/pgSQL": Shape(table=QualifiedName("loop"), old="begin", new="if"),
    "its own words": Shape(table=QualifiedName("new"), old="old", new="new_side"),
    "quotes": Shape(table=QualifiedName("it's"), old='a"b', new="c'd"),
    "percent, colon, backslash": Shape(table=QualifiedName("100%s"), old="a :b", new="c\\d"),
    "unicode": Shape(table=QualifiedName("Straße"), old="größe", new="höhe"),
    "63 bytes": Shape(table=QualifiedName(f"t{LONG}"), old=f"o{LONG}", new=f"n{LONG}"),
}


class Table:
    """A table in mid-change; statements may say {t}, {o}, {n} and {a}, {b}, {c} for names and values."""

    def __init__(
        self,
        connection: psycopg.Connection[tuple[object, ...]],
        shape: Shape,
        on_conflict: OnConflict = "raise",
    ) -> None:
        self.connection = connection
        self.shape = shape
        self.names = {
            "t": sql.Identifier(shape.table.schema, shape.table.name),
            "o": sql.Identifier(shape.old),
            "n": sql.Identifier(shape.new),
            "type": sql.SQL(shape.type),
            **dict(zip("abc", (sql.SQL(f"({value})::{shape.type}") for value in shape.values), strict=True)),
        }
        if shape.before:
            connection.execute(shape.before.encode())
        self.names["default"] = sql.SQL(f" DEFAULT {shape.default}" if shape.default else "")
        self.run("CREATE TABLE {t} (id int PRIMARY KEY, {o} {type}{default}, other text)")
        self.run("INSERT INTO {t} (id, {o}) VALUES (1, {a})")
        self.carried = Carried(connection, RenameColumn(shape.table, shape.old, shape.new, on_conflict))
        self.carried.up("expand")

    def run(self, text: str) -> None:
        self.connection.execute(sql.SQL(text).format(**self.names))

    def row(self, key: int) -> tuple[object, ...]:
        """Both columns as text: what clients would read, byte for byte."""
        query = sql.SQL("SELECT {o}::text, {n}::text FROM {t} WHERE id = {key}")
        found = self.connection.execute(query.format(**self.names, key=sql.Literal(key))).fetchone()
        assert found is not None
        return found

    def text(self, value: str) -> str:
        row = self.connection.execute(sql.SQL("SELECT " + value + "::text").format(**self.names)).fetchone()
        assert row is not None
        return str(row[0])

    @property
    def default(self) -> str | None:
        if self.shape.default is None:
            return None
        self.names["value"] = sql.SQL(self.shape.default)
        return self.text("({value})::{type}")


@pytest.fixture(scope="module", params=list(SHAPES), ids=list(SHAPES))
def shaped(request: pytest.FixtureRequest, scratch_server: scratch.Server) -> Iterator[Table]:
    """One table per shape, for all cases: each undoes what it did."""
    url = scratch_server.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        yield Table(connection, SHAPES[request.param])
    scratch_server.drop_database(url)


@pytest.fixture
def people(shaped: Table) -> Iterator[Table]:
    with shaped.connection.transaction(force_rollback=True):
        yield shaped


# What is written, the row looked at, and what both columns must then hold: a value's letter, "default" or None.
CASES = {
    "a row from before is filled by any update": ("UPDATE {t} SET other = 'x' WHERE id = 1", 1, "a"),
    "old insert": ("INSERT INTO {t} (id, {o}) VALUES (2, {b})", 2, "b"),
    "new insert": ("INSERT INTO {t} (id, {n}) VALUES (2, {b})", 2, "b"),
    "insert of neither": ("INSERT INTO {t} (id) VALUES (2)", 2, "default"),
    "old insert of null": ("INSERT INTO {t} (id, {o}) VALUES (2, NULL)", 2, None),
    "new insert of null": ("INSERT INTO {t} (id, {n}) VALUES (2, NULL)", 2, None),
    "old update": ("UPDATE {t} SET {o} = {c} WHERE id = 9", 9, "c"),
    "new update": ("UPDATE {t} SET {n} = {c} WHERE id = 9", 9, "c"),
    "old update to null": ("UPDATE {t} SET {o} = NULL WHERE id = 9", 9, None),
    "new update to null": ("UPDATE {t} SET {n} = NULL WHERE id = 9", 9, None),
    "old update of a row not yet filled": ("UPDATE {t} SET {o} = {c} WHERE id = 1", 1, "c"),
    "new update of a row not yet filled": ("UPDATE {t} SET {n} = {c} WHERE id = 1", 1, "c"),
    "update of both, equal": ("UPDATE {t} SET {o} = {c}, {n} = {c} WHERE id = 9", 9, "c"),
    "insert of both, equal": ("INSERT INTO {t} (id, {o}, {n}) VALUES (2, {c}, {c})", 2, "c"),
    "update of something else": ("UPDATE {t} SET other = 'x' WHERE id = 9", 9, "b"),
    "update to the same value": ("UPDATE {t} SET {o} = {o} WHERE id = 9", 9, "b"),
    "old upsert": (
        "INSERT INTO {t} (id, {o}) VALUES (9, {c}) ON CONFLICT (id) DO UPDATE SET {o} = EXCLUDED.{o}",
        9,
        "c",
    ),
    "new upsert": (
        "INSERT INTO {t} (id, {n}) VALUES (9, {c}) ON CONFLICT (id) DO UPDATE SET {n} = EXCLUDED.{n}",
        9,
        "c",
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_both_columns_hold_what_was_written(people: Table, case: str) -> None:
    statement, key, expected = CASES[case]
    people.run("INSERT INTO {t} (id, {o}) VALUES (9, {b})")
    people.run(statement)
    value = people.default if expected == "default" else people.text(f"{{{expected}}}") if expected else None
    assert people.row(key) == (value, value)


@pytest.mark.parametrize("side", ["o", "n"])
def test_copy(people: Table, side: str) -> None:
    value = people.text("{b}")
    query = sql.SQL("COPY {t} (id, {side}) FROM STDIN").format(t=people.names["t"], side=people.names[side])
    with people.connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.write_row((2, value))
    assert people.row(2) == (value, value)


def test_two_different_values_in_one_statement_are_refused(people: Table) -> None:
    with pytest.raises(psycopg.errors.SerializationFailure, match="different values"):
        people.run("UPDATE {t} SET {o} = {b}, {n} = {c} WHERE id = 1")


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_an_insert_of_two_different_values_is_refused(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    people = Table(connection, Shape())
    with pytest.raises(psycopg.errors.SerializationFailure, match="different values"):
        people.run("INSERT INTO {t} (id, {o}, {n}) VALUES (2, {b}, {c})")


@pytest.mark.parametrize(("policy", "expected"), [("new-wins", "c"), ("old-wins", "b")])
def test_a_policy_may_decide_instead(
    connection: psycopg.Connection[tuple[object, ...]], policy: OnConflict, expected: str
) -> None:
    people = Table(connection, Shape(), policy)
    people.run("UPDATE {t} SET {o} = {b}, {n} = {c} WHERE id = 1")
    assert people.row(1) == (expected, expected)


def test_sessions_that_skip_triggers_are_kept_in_step(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    """Appliers of logical replication and pg_restore --disable-triggers run with this setting."""
    people = Table(connection, Shape())
    connection.execute("SET session_replication_role = replica")
    people.run("INSERT INTO {t} (id, {o}) VALUES (2, {b})")
    assert people.row(2) == ("b", "b")


@pytest.mark.parametrize("path", ["pg_temp", "", "v2, public", '"$user"'])
def test_no_search_path_changes_the_direction(
    connection: psycopg.Connection[tuple[object, ...]], path: str
) -> None:
    people = Table(connection, SHAPES["enum"])
    connection.execute(sql.SQL("SELECT set_config('search_path', {}, false)").format(sql.Literal(path)))
    people.names["b"] = sql.SQL("'glad'")
    people.run("INSERT INTO {t} (id, {n}) VALUES (2, {b})")
    assert people.row(2) == ("glad", "glad")


def test_a_role_with_rights_on_one_column_only_can_write(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    people = Table(connection, Shape())
    connection.execute("DROP ROLE IF EXISTS sync_writer")
    connection.execute("CREATE ROLE sync_writer")
    people.run("GRANT INSERT (id, {o}) ON {t} TO sync_writer")
    connection.execute("SET ROLE sync_writer")
    people.run("INSERT INTO {t} (id, {o}) VALUES (2, {b})")
    connection.execute("RESET ROLE")
    assert people.row(2) == ("b", "b")
    people.run("DROP OWNED BY sync_writer")
    connection.execute("DROP ROLE sync_writer")


def test_it_sees_what_the_tables_own_triggers_made_of_the_row(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    connection.execute("""
        CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW := jsonb_populate_record(NEW, '{"name": "tidied"}'); RETURN NEW; END $$
    """)
    people = Table(connection, Shape())
    people.run("CREATE TRIGGER tidy BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION tidy()")
    people.run("INSERT INTO {t} (id, {o}) VALUES (2, {b})")
    assert people.row(2) == ("tidied", "tidied")


def test_a_default_that_is_a_function_call_is_given_once(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    people = Table(connection, Shape("uuid", ("NULL", "NULL", "NULL"), "gen_random_uuid()"))
    people.run("INSERT INTO {t} (id) VALUES (2)")
    old, new = people.row(2)
    assert old is not None
    assert old == new


def test_a_new_value_beats_a_default_that_is_a_function_call(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    people = Table(connection, Shape("uuid", ("NULL", "NULL", "NULL"), "gen_random_uuid()"))
    value = "10000000-0000-0000-0000-000000000000"
    people.run(f"INSERT INTO {{t}} (id, {{n}}) VALUES (2, '{value}')")
    assert people.row(2) == (value, value)
