"""A value of an enumeration that gets another name on a real server: rows, defaults, what is refused, the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.enums.rename_enum_value import RenameEnumValue
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

MOOD = QualifiedName("mood")
RENAME = RenameEnumValue(MOOD, "sad", "blue")
HOSTILE = RenameEnumValue(QualifiedName("ünï", "My Shop"), "it's \\ so", "o'\\n : %s")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("""
            CREATE TYPE mood AS ENUM ('sad', 'happy');
            CREATE TABLE people (id int PRIMARY KEY, mood mood NOT NULL DEFAULT 'sad', before mood DEFAULT 'happy');
            CREATE TABLE pets (id int PRIMARY KEY, mood mood);
            INSERT INTO people SELECT n, 'sad', CASE n % 2 WHEN 0 THEN 'sad'::mood END FROM generate_series(1, 20) n;
            INSERT INTO pets VALUES (1, 'sad'), (2, 'happy'), (3, NULL);
            CREATE SCHEMA "My Shop";
            CREATE TYPE "My Shop"."ünï" AS ENUM ('select', E'it''s \\\\ so');
            CREATE TABLE "My Shop"."O'rders" (id int PRIMARY KEY, "order" "My Shop"."ünï" DEFAULT E'it''s \\\\ so');
            INSERT INTO "My Shop"."O'rders" VALUES (1);
        """)
        yield connection


def test_phases(connection: Connection) -> None:
    assert phases(connection, RENAME) == ("expand", "backfill", "contract")


def test_no_row_holds_the_old_value_in_the_end(connection: Connection) -> None:
    Carried(connection, RENAME).up("expand", "backfill", "contract")
    rows = connection.execute(
        "SELECT mood::text, before::text, count(*) FROM people GROUP BY 1, 2 ORDER BY 2"
    ).fetchall()
    assert rows == [("blue", "blue", 10), ("blue", None, 10)]
    pets = connection.execute("SELECT mood::text FROM pets ORDER BY id").fetchall()
    assert pets == [("blue",), ("happy",), (None,)]


def test_hostile_names(connection: Connection) -> None:
    carried = Carried(connection, HOSTILE)
    carried.up("expand", "backfill")
    connection.execute("""INSERT INTO "My Shop"."O'rders" VALUES (2, E'it''s \\\\ so'), (3, DEFAULT)""")
    carried.up("contract")
    connection.execute("""INSERT INTO "My Shop"."O'rders" VALUES (4, DEFAULT)""")
    rows = connection.execute("""SELECT DISTINCT "order"::text FROM "My Shop"."O'rders" """).fetchall()
    assert rows == [("o'\\n : %s",)]


def test_the_new_value_stands_where_the_old_one_did(connection: Connection) -> None:
    Carried(connection, RENAME).up("expand")
    enum = LiveFacts(connection).enum(MOOD)
    assert enum is not None
    assert enum.values == ("sad", "blue", "happy")


def test_whichever_is_written_the_new_one_is_stored(connection: Connection) -> None:
    Carried(connection, RENAME).up("expand", "backfill")
    connection.execute("INSERT INTO people VALUES (100, 'sad', 'blue'), (101, DEFAULT, DEFAULT)")
    connection.execute("UPDATE people SET before = 'sad' WHERE id = 101")
    rows = connection.execute("SELECT mood::text, before::text FROM people WHERE id > 99").fetchall()
    assert rows == [("blue", "blue"), ("blue", "blue")]


def test_the_way_back_restores_triggers_and_defaults(connection: Connection) -> None:
    before = table(connection, "people")
    carried = Carried(connection, RENAME)
    carried.up("expand", "backfill")
    filled = table(connection, "people")
    carried.up("contract")
    carried.down(carried.parts("contract"))
    assert table(connection, "people").triggers == filled.triggers
    carried.down(carried.parts("backfill"))
    after = table(connection, "people")
    assert (after.columns, after.triggers) == (before.columns, before.triggers)


def test_contract_is_shut_while_a_row_holds_the_old_value(connection: Connection) -> None:
    carried = Carried(connection, RENAME)
    carried.up("expand", "backfill")
    connection.execute("ALTER TABLE pets DISABLE TRIGGER USER")
    connection.execute("UPDATE pets SET mood = 'sad' WHERE id = 2")
    with pytest.raises(psycopg.Error) as raised:
        carried.up("contract")
    assert raised.value.sqlstate == "EV001"


REFUSED: dict[str, tuple[str, RenameEnumValue, type[EvolveError], str]] = {
    "unknown type": ("", RenameEnumValue(QualifiedName("moods"), "sad", "blue"), Misuse, "no enumeration"),
    "unknown value": ("", RenameEnumValue(MOOD, "glad", "blue"), Misuse, "has no value 'glad'"),
    "taken": ("", RenameEnumValue(MOOD, "sad", "happy"), Misuse, "has a value 'happy' already"),
    "the same": ("", RenameEnumValue(MOOD, "sad", "sad"), Misuse, "called 'sad' already"),
    "array": ("ALTER TABLE people ADD moods mood[]", RENAME, Refused, "is mood[]"),
    "check": ("ALTER TABLE pets ADD CHECK (mood <> 'sad') NOT VALID", RENAME, Refused, "names 'sad'"),
    "unique": ("CREATE UNIQUE INDEX u ON people (mood, id)", RENAME, Refused, 'unique index "u"'),
    "primary key": ("CREATE TABLE k (mood mood PRIMARY KEY)", RENAME, Refused, "k_pkey"),
    "no key": ("CREATE TABLE k (mood mood)", RENAME, Refused, "no primary key"),
    "partitioned": (
        "CREATE TABLE k (id int PRIMARY KEY, mood mood) PARTITION BY RANGE (id)",
        RENAME,
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


def test_notes_tell_what_may_name_the_old_value(connection: Connection) -> None:
    connection.execute(
        "CREATE VIEW v AS SELECT * FROM pets; CREATE INDEX i ON people (id) WHERE mood = 'sad'"
    )
    notes = " ".join(make_plan(RENAME, LiveFacts(connection)).notes)
    assert "view v" in notes
    assert 'index "i"' in notes
