"""A value taken out of an enumeration on a real server: rows, defaults, indexes, what is refused, the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, tried

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.model import PHASES
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.columns.change_type import ChangeType
from evolve.plan.recipes.enums.remove_enum_value import RemoveEnumValue
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

MOOD = QualifiedName("mood")
REMOVE = RemoveEnumValue(MOOD, "sad", "ok")
HOSTILE = RemoveEnumValue(QualifiedName("ünï", "My Shop"), "it's \\ so", "select", " 2'")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("""
            CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
            CREATE TABLE people (
                id int PRIMARY KEY, mood mood NOT NULL DEFAULT 'sad', before mood DEFAULT 'happy', note text
            );
            CREATE INDEX people_mood_idx ON people (mood, id);
            COMMENT ON COLUMN people.mood IS 'how they are';
            GRANT SELECT (mood) ON people TO PUBLIC;
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
    assert phases(connection, REMOVE) == PHASES


def test_nothing_of_the_old_type_is_left(connection: Connection) -> None:
    Carried(connection, REMOVE).up(*PHASES)
    rows = connection.execute(
        "SELECT mood_v2::text, before_v2::text, count(*) FROM people GROUP BY 1, 2 ORDER BY 2"
    ).fetchall()
    assert rows == [("ok", "ok", 10), ("ok", None, 10)]
    assert connection.execute("SELECT mood_v2::text FROM pets ORDER BY id").fetchall() == [
        ("ok",),
        ("happy",),
        (None,),
    ]
    facts = LiveFacts(connection)
    new = facts.enum(REMOVE.new_type)
    assert (facts.enum(MOOD), new and new.values) == (None, ("ok", "happy"))


def test_what_hangs_on_the_column_is_carried_over(connection: Connection) -> None:
    Carried(connection, REMOVE).up(*PHASES)
    target = table(connection, "people")
    column = target.column("mood_v2")
    assert column is not None
    assert (column.not_null, column.default, column.comment) == (True, "'ok'::mood_v2", "how they are")
    assert column.grants == (("SELECT", "PUBLIC", False),)
    assert [index.columns for index in target.indexes_on("mood_v2")] == [("mood_v2", "id")]


def test_whichever_is_written_both_tell_the_same(connection: Connection) -> None:
    Carried(connection, REMOVE).up("expand", "backfill")
    connection.execute("INSERT INTO people (id, mood) VALUES (100, 'sad'), (101, 'happy')")
    connection.execute("INSERT INTO people (id, mood_v2) VALUES (102, 'happy'), (103, DEFAULT)")
    connection.execute("UPDATE people SET mood_v2 = 'ok' WHERE id = 101")
    connection.execute("UPDATE people SET mood = 'sad' WHERE id = 102")
    rows = connection.execute(
        "SELECT mood::text, mood_v2::text FROM people WHERE id > 99 ORDER BY id"
    ).fetchall()
    assert rows == [("sad", "ok"), ("ok", "ok"), ("sad", "ok"), ("sad", "ok")]


def test_a_row_that_holds_the_value_keeps_it_while_others_of_its_columns_are_written(
    connection: Connection,
) -> None:
    Carried(connection, REMOVE).up("expand", "backfill", "validate", "contract")
    connection.execute("UPDATE people SET note = 'x' WHERE id = 1")
    kept = connection.execute(
        "SELECT to_jsonb(p) ->> key FROM people p, jsonb_object_keys(to_jsonb(p)) key "
        "WHERE id = 1 AND starts_with(key, '_evolve_q_') ORDER BY key"
    ).fetchall()
    assert ("sad",) in kept


def test_hostile_names(connection: Connection) -> None:
    carried = Carried(connection, HOSTILE)
    carried.up("expand", "backfill")
    connection.execute("""INSERT INTO "My Shop"."O'rders" VALUES (2, E'it''s \\\\ so'), (3, DEFAULT)""")
    carried.up("validate", "contract", "purge")
    rows = connection.execute("""SELECT DISTINCT "order 2'"::text FROM "My Shop"."O'rders" """).fetchall()
    assert rows == [("select",)]


def columns(connection: Connection) -> list[tuple[object, ...]]:
    """Every column with its type and default, of all that is not PostgreSQL's own."""
    found: list[tuple[object, ...]] = connection.execute("""
        SELECT a.attrelid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum), a.attacl::text
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r'
        ORDER BY 1, 2
    """).fetchall()
    return found


@pytest.mark.parametrize("change", [REMOVE, HOSTILE], ids=["three columns", "hostile"])
def test_the_way_back_from_any_phase_restores_the_columns(
    connection: Connection, change: RemoveEnumValue
) -> None:
    before = columns(connection)
    carried = Carried(connection, change)
    after = []
    for end in range(len(PHASES)):
        carried.up(*PHASES[: end + 1])
        for name in reversed(PHASES[: end + 1]):
            carried.down(carried.parts(name))
        after.append(columns(connection))
    assert after == [before] * len(PHASES)


def test_the_way_back_restores_type_and_columns(connection: Connection) -> None:
    carried = Carried(connection, REMOVE)
    backwards = [carried.parts(name) for name in PHASES]
    carried.up(*PHASES)
    for parts in reversed(backwards):
        carried.down(parts)
    facts = LiveFacts(connection)
    enum = facts.enum(MOOD)
    assert enum is not None
    assert (enum.values, facts.enum(REMOVE.new_type)) == (("sad", "ok", "happy"), None)
    assert set(enum.columns) == {
        (QualifiedName("people"), "mood"),
        (QualifiedName("people"), "before"),
        (QualifiedName("pets"), "mood"),
    }


def test_no_table_is_written_anew(connection: Connection) -> None:
    query = "SELECT relfilenode FROM pg_class WHERE relname IN ('people', 'pets') ORDER BY relname"
    before = connection.execute(query).fetchall()
    Carried(connection, REMOVE).up(*PHASES)
    assert connection.execute(query).fetchall() == before


def test_types_come_and_go_without_a_lock_on_a_table(connection: Connection) -> None:
    plan = make_plan(REMOVE, LiveFacts(connection))
    create = plan.phases[0].parts[0].statements
    with connection.transaction():
        for statement in create:
            connection.execute(statement.sql.encode())
        held = connection.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
            "WHERE l.pid = pg_backend_pid() AND c.relname IN ('people', 'pets')"
        ).fetchone()
    assert held == (0,)


def test_purge_is_shut_while_something_new_uses_the_type(connection: Connection) -> None:
    carried = Carried(connection, REMOVE)
    carried.up("expand", "backfill", "validate", "contract")
    connection.execute("CREATE TABLE late (mood mood)")
    with pytest.raises(psycopg.Error) as raised:
        carried.up("purge")
    assert raised.value.sqlstate == "EV001"


def test_rows_that_change_are_told(connection: Connection) -> None:
    notes = " ".join(tried(connection, REMOVE))
    assert "mood becomes ok" in notes
    assert "20" in notes


REFUSED: dict[str, tuple[str, RemoveEnumValue, type[EvolveError], str]] = {
    "unknown type": ("", RemoveEnumValue(QualifiedName("moods"), "sad", "ok"), Misuse, "no enumeration"),
    "unknown value": ("", RemoveEnumValue(MOOD, "glad", "ok"), Misuse, "has no value 'glad'"),
    "unknown instead": ("", RemoveEnumValue(MOOD, "sad", "glad"), Misuse, "has no value 'glad'"),
    "itself": ("", RemoveEnumValue(MOOD, "sad", "sad"), Misuse, "--instead is 'sad' too"),
    "no suffix": ("", RemoveEnumValue(MOOD, "sad", "ok", ""), Misuse, "--suffix is empty"),
    "name too long": ("", RemoveEnumValue(MOOD, "sad", "ok", "x" * 60), Misuse, "has 64 bytes"),
    "type taken": ("CREATE TYPE mood_v2 AS ENUM ()", REMOVE, Misuse, 'type "mood_v2" already'),
    "table of that name": ("CREATE TABLE mood_v2 ()", REMOVE, Misuse, "name of a table"),
    "column taken": ("ALTER TABLE pets ADD mood_v2 int", REMOVE, Misuse, 'column "mood_v2" already'),
    "unused": ("DROP TABLE people, pets", REMOVE, Refused, "no column is of type"),
    "array": ("ALTER TABLE people ADD moods mood[]", REMOVE, Refused, "is mood[]"),
    "domain": ("CREATE DOMAIN good AS mood", REMOVE, Refused, "type good"),
    "composite": ("CREATE TYPE pair AS (a mood)", REMOVE, Refused, "composite type pair"),
    "function": (
        "CREATE FUNCTION f(mood) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        REMOVE,
        Refused,
        "function f(mood)",
    ),
    "function of an array": (
        "CREATE FUNCTION f(mood[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        REMOVE,
        Refused,
        "function f(mood[])",
    ),
    "view": ("CREATE VIEW v AS SELECT mood FROM pets", REMOVE, Refused, "view v"),
    "view that names a value": ("CREATE VIEW v AS SELECT 'sad'::mood AS m", REMOVE, Refused, "view v"),
    "check": ("ALTER TABLE pets ADD CHECK (mood <> 'happy') NOT VALID", REMOVE, Refused, "pets_mood_check"),
    "predicate": ("CREATE INDEX i ON people (before) WHERE before = 'ok'", REMOVE, Refused, 'index "i"'),
    "two columns": ("CREATE INDEX i ON people (before, mood)", REMOVE, Refused, 'index "i"'),
    "unique": ("CREATE UNIQUE INDEX u ON people (mood, id)", REMOVE, Refused, 'index "u"'),
    "primary key": ("CREATE TABLE k (mood mood PRIMARY KEY)", REMOVE, Refused, "k_pkey"),
    "foreign key": (
        "CREATE TABLE k (mood mood PRIMARY KEY); ALTER TABLE k ADD FOREIGN KEY (mood) REFERENCES k",
        REMOVE,
        Refused,
        "k_",
    ),
    "default": ("ALTER TABLE pets ALTER mood SET DEFAULT ('o' || 'k')::mood", REMOVE, Refused, "its default"),
    "no key": ("CREATE TABLE k (mood mood)", REMOVE, Refused, "no primary key"),
    "partitioned": (
        "CREATE TABLE k (id int PRIMARY KEY, mood mood) PARTITION BY RANGE (id)",
        REMOVE,
        Refused,
        "is partitioned",
    ),
    "partition key": (
        "CREATE TABLE k (id int, mood mood) PARTITION BY LIST (mood)",
        REMOVE,
        Refused,
        "k",
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


def test_the_way_out_for_an_array_works(connection: Connection) -> None:
    connection.execute("ALTER TABLE pets ADD moods mood[]; UPDATE pets SET moods = '{sad,ok}' WHERE id = 1")
    change = ChangeType(QualifiedName("pets"), "moods", "text[]", to="words")
    Carried(connection, change).up(*PHASES)
    make_plan(REMOVE, LiveFacts(connection))
    assert connection.execute("SELECT words FROM pets WHERE id = 1").fetchone() == (["sad", "ok"],)
