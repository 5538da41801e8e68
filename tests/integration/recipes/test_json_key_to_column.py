"""A key of JSON documents moved into a column, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores_the_table

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.model import PHASES
from evolve.plan.recipes import find_recipe, make_plan
from evolve.plan.recipes.columns.json_key_to_column import JsonKeyToColumn
from evolve.postgres.plan_facts import LiveFacts
from evolve.postgres.trials import attempt
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

USERS = QualifiedName("users")
SCHEMA = """
    CREATE TABLE users (id int PRIMARY KEY, doc jsonb DEFAULT '{}', plain json, other text);
    INSERT INTO users (id, doc, plain) SELECT n,
        jsonb_build_object('address', jsonb_build_object('city', 'c' || n, 'zip', n), 'age', n, 'k', true),
        json_build_object('age', n) FROM generate_series(1, 20) n;
    INSERT INTO users VALUES (21, '{"address": null}'), (22, '{}'), (23, NULL), (24, '{"address": {"city": null}}');
"""
CITY = JsonKeyToColumn(USERS, "doc", "address.city", "city")
AGE = JsonKeyToColumn(USERS, "doc", "age", "age", "integer")
PLAIN = JsonKeyToColumn(USERS, "plain", "age", "age", "integer")
LAX = JsonKeyToColumn(USERS, "doc", "age", "age", "integer", rejects="null", remove_key=True)
ADDRESS = JsonKeyToColumn(USERS, "doc", "address", "address", "jsonb")
CHANGES = [CITY, AGE, PLAIN, LAX, ADDRESS]
NAMES = ["text", "integer", "json", "null and removed", "jsonb"]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def tried(connection: Connection, change: JsonKeyToColumn) -> list[str]:
    recipe = find_recipe(change.kind)
    assert recipe is not None
    notes = [attempt(connection, trial) for trial in recipe.trials(change, LiveFacts(connection))]
    return [note for note in notes if note is not None]


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_phases(connection: Connection, change: JsonKeyToColumn) -> None:
    assert phases(connection, change) == PHASES


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_nothing_is_found_wrong(connection: Connection, change: JsonKeyToColumn) -> None:
    assert tried(connection, change) == []


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_the_way_back_restores_table_and_documents(connection: Connection, change: JsonKeyToColumn) -> None:
    query = "SELECT id, doc, plain::text FROM users ORDER BY id"
    before = connection.execute(query).fetchall()
    assert restores_the_table(connection, change)
    assert connection.execute(query).fetchall() == before


def test_the_backfill_leaves_documents_alone(connection: Connection) -> None:
    query = "SELECT id, doc FROM users ORDER BY id"
    before = connection.execute(query).fetchall()
    Carried(connection, CITY).up("expand", "backfill", "validate")
    assert connection.execute(query).fetchall() == before
    assert connection.execute(
        "SELECT city FROM users WHERE id IN (3, 21, 22, 23, 24) ORDER BY id"
    ).fetchall() == [
        ("c3",),
        (None,),
        (None,),
        (None,),
        (None,),
    ]


DOC = "jsonb_build_object('address', jsonb_build_object('city', 'b', 'zip', 5))"
# What is written, and what row 9 then holds: column and document.
CASES: dict[str, tuple[str, str | None, object]] = {
    "old insert": (
        f"INSERT INTO users (id, doc) VALUES (99, {DOC})",
        "b",
        {"address": {"city": "b", "zip": 5}},
    ),
    "new insert": ("INSERT INTO users (id, city) VALUES (99, 'b')", "b", {"address": {"city": "b"}}),
    "new insert with a document": (
        "INSERT INTO users (id, city, doc) VALUES (99, 'b', '{\"k\": 1}')",
        "b",
        {"k": 1, "address": {"city": "b"}},
    ),
    "insert of neither": ("INSERT INTO users (id) VALUES (99)", None, {}),
    "insert of nulls": ("INSERT INTO users (id, doc, city) VALUES (99, NULL, NULL)", None, None),
    "insert of both, consistent": (
        f"INSERT INTO users (id, doc, city) VALUES (99, {DOC}, 'b')",
        "b",
        {"address": {"city": "b", "zip": 5}},
    ),
    "old update": (
        "UPDATE users SET doc = jsonb_set(doc, '{address,city}', '\"b\"') WHERE id = 9",
        "b",
        {"address": {"city": "b", "zip": 9}, "age": 9, "k": True},
    ),
    "old update of another key": (
        "UPDATE users SET doc = jsonb_set(doc, '{age}', '1') WHERE id = 9",
        "c9",
        {"address": {"city": "c9", "zip": 9}, "age": 1, "k": True},
    ),
    "old update that removes the key": (
        "UPDATE users SET doc = doc #- '{address,city}' WHERE id = 9",
        None,
        {"address": {"zip": 9}, "age": 9, "k": True},
    ),
    "new update": (
        "UPDATE users SET city = 'b' WHERE id = 9",
        "b",
        {"address": {"city": "b", "zip": 9}, "age": 9, "k": True},
    ),
    "new update to null": (
        "UPDATE users SET city = NULL WHERE id = 9",
        None,
        {"address": {"zip": 9}, "age": 9, "k": True},
    ),
    "new update of a row without a place": (
        "UPDATE users SET city = 'b', id = 99 WHERE id = 21",
        "b",
        {"address": {"city": "b"}},
    ),
    "new update of a row without a document": (
        "UPDATE users SET city = 'b', id = 99 WHERE id = 23",
        "b",
        {"address": {"city": "b"}},
    ),
    "new update with another key of the document": (
        "UPDATE users SET city = 'b', doc = jsonb_set(doc, '{age}', '1') WHERE id = 9",
        "b",
        {"address": {"city": "b", "zip": 9}, "age": 1, "k": True},
    ),
    "update of something else": (
        "UPDATE users SET other = 'x' WHERE id = 9",
        "c9",
        {"address": {"city": "c9", "zip": 9}, "age": 9, "k": True},
    ),
    "old upsert": (
        f"INSERT INTO users (id, doc) VALUES (9, {DOC}) ON CONFLICT (id) DO UPDATE SET doc = EXCLUDED.doc",
        "b",
        {"address": {"city": "b", "zip": 5}},
    ),
    "new upsert": (
        "INSERT INTO users (id, city) VALUES (9, 'b') ON CONFLICT (id) DO UPDATE SET city = EXCLUDED.city",
        "b",
        {"address": {"city": "b", "zip": 9}, "age": 9, "k": True},
    ),
}


# Null to null is no change: new readers wait for the backfill.
WAYS = [
    (case, filled) for case in CASES for filled in (True, False) if filled or case != "new update to null"
]


@pytest.mark.parametrize(("case", "filled"), WAYS)
def test_column_and_key_hold_what_was_written(connection: Connection, case: str, filled: bool) -> None:
    statement, column, document = CASES[case]
    carried = Carried(connection, CITY)
    carried.up("expand", *(("backfill",) if filled else ()))
    connection.execute(statement.encode())
    found = connection.execute("SELECT city, doc FROM users WHERE id IN (9, 99) ORDER BY id DESC").fetchone()
    assert found == (column, document)


def test_two_different_values_in_one_statement_are_refused(connection: Connection) -> None:
    Carried(connection, CITY).up("expand", "backfill")
    with pytest.raises(psycopg.errors.SerializationFailure, match="different values"):
        connection.execute(f"UPDATE users SET doc = {DOC}, city = 'z' WHERE id = 9".encode())


def test_after_contract_documents_are_still_written(connection: Connection) -> None:
    Carried(connection, CITY).up("expand", "backfill", "validate", "contract")
    connection.execute("UPDATE users SET city = 'b' WHERE id = 9")
    connection.execute("UPDATE users SET doc = doc || '{\"address\": {}}' WHERE id = 8")
    assert connection.execute(
        "SELECT city, doc #>> '{address,city}' FROM users WHERE id IN (8, 9) ORDER BY id"
    ).fetchall() == [
        ("c8", None),
        ("b", "b"),
    ]


def test_the_key_is_taken_out_in_the_end(connection: Connection) -> None:
    Carried(connection, LAX).up(*PHASES)
    assert connection.execute("SELECT count(*) FROM users WHERE doc ? 'age'").fetchone() == (0,)
    assert connection.execute("SELECT sum(age) FROM users").fetchone() == (210,)


def test_values_that_do_not_fit_are_told_by_key(connection: Connection) -> None:
    connection.execute("""UPDATE users SET doc = '{"age": "old"}' WHERE id IN (3, 7)""")
    with pytest.raises(Refused) as refused:
        tried(connection, AGE)
    assert "in 2 rows" in refused.value.what
    assert "id=3" in refused.value.what


def test_values_that_do_not_fit_stay_in_their_documents(connection: Connection) -> None:
    connection.execute("""UPDATE users SET doc = '{"age": "old"}' WHERE id = 3""")
    assert any("1 row where" in note for note in tried(connection, LAX))
    Carried(connection, LAX).up("expand", "backfill", "validate")
    connection.execute("UPDATE users SET other = 'x'")
    assert connection.execute("SELECT doc, age FROM users WHERE id = 3").fetchone() == ({"age": "old"}, None)


def test_another_json_type_is_noted(connection: Connection) -> None:
    connection.execute("""UPDATE users SET doc = '{"age": "44"}' WHERE id = 3""")
    (note,) = tried(connection, AGE)
    assert "of another JSON type" in note


@pytest.mark.parametrize("document", ['["a"]', '"text"', '{"address": [1]}', '{"address": "Road 1"}'])
def test_a_document_without_a_place_for_the_key_is_refused(connection: Connection, document: str) -> None:
    connection.execute("UPDATE users SET doc = %s WHERE id = 3", (document,))
    with pytest.raises(Refused, match="no place for address"):
        tried(connection, CITY)


@pytest.mark.parametrize("change", [AGE, CITY], ids=["key", "key in an object"])
def test_a_document_that_came_without_a_place_keeps_what_it_holds(
    connection: Connection, change: JsonKeyToColumn
) -> None:
    Carried(connection, change).up("expand")
    document = '["kept"]' if change is AGE else '{"address": "kept"}'
    connection.execute("INSERT INTO users (id, doc) VALUES (99, %s)", (document,))
    connection.execute(f"UPDATE users SET {change.to} = '1' WHERE id = 99".encode())
    assert connection.execute("SELECT doc::text FROM users WHERE id = 99").fetchone() == (document,)


def test_two_keys_at_once(connection: Connection) -> None:
    Carried(connection, CITY).up("expand", "backfill")
    Carried(connection, AGE).up("expand", "backfill")
    connection.execute("UPDATE users SET city = 'b', age = 1 WHERE id = 9")
    connection.execute("""UPDATE users SET doc = '{"address": {"city": "d"}, "age": 2}' WHERE id = 8""")
    assert connection.execute(
        "SELECT city, age, doc FROM users WHERE id IN (8, 9) ORDER BY id"
    ).fetchall() == [
        ("d", 2, {"address": {"city": "d"}, "age": 2}),
        ("b", 1, {"address": {"city": "b", "zip": 9}, "age": 1, "k": True}),
    ]
    assert not CITY.uses().conflicts(AGE.uses())


REFUSED: dict[str, tuple[str, JsonKeyToColumn, type[EvolveError], str]] = {
    "no documents": ("", replace(CITY, column="other"), Misuse, "not json or jsonb"),
    "unknown column": ("", replace(CITY, column="docs"), Misuse, 'no column "docs"'),
    "taken": ("", replace(CITY, to="other"), Misuse, "already"),
    "no key": ("", replace(CITY, key="address."), Misuse, "not a key"),
    "no type": ("", replace(CITY, type="text, ADD x int"), Misuse, "not a column type"),
    "generated": (
        "ALTER TABLE users ADD COLUMN made jsonb GENERATED ALWAYS AS (doc -> 'address') STORED",
        replace(CITY, column="made"),
        Refused,
        "is generated",
    ),
    "no primary key": ("ALTER TABLE users DROP CONSTRAINT users_pkey", CITY, Refused, "no primary key"),
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


@pytest.mark.parametrize("key", ["Größe", '"a.b".c', "it's", "100%s", '"say ""hi"""', "a\\b", "{x,y}", "a b"])
def test_keys_of_all_kinds(connection: Connection, key: str) -> None:
    change = JsonKeyToColumn(USERS, "doc", key, "Value :x")
    assert tried(connection, change) == []
    Carried(connection, change).up("expand")
    connection.execute("UPDATE users SET \"Value :x\" = 'v' WHERE id = 9")
    row = connection.execute(
        "SELECT doc #>> %s::text[] FROM users WHERE id = 9", (list(change.path),)
    ).fetchone()
    assert row == ("v",)


def test_privileges_are_those_of_the_documents(connection: Connection) -> None:
    connection.execute("GRANT SELECT (doc) ON users TO PUBLIC")
    Carried(connection, CITY).up("expand")
    column = table(connection, "users").column("city")
    assert column is not None
    assert column.grants == (("SELECT", "PUBLIC", False),)
