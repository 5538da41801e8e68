"""A value that an enumeration gets on a real server: where it stands, what is refused, and running it again."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection
from support.way_back import phases

from evolve.errors import EvolveError, Misuse
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.enums.add_enum_value import AddEnumValue
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import NameTooLong, QualifiedName

pytestmark = pytest.mark.server

MOOD = QualifiedName("mood")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("""
            CREATE TYPE mood AS ENUM ('sad', 'it''s \\ fine', 'happy');
            CREATE TABLE people (id int PRIMARY KEY, mood mood);
            CREATE SCHEMA "My Shop";
            CREATE TYPE "My Shop"."ünï" AS ENUM ('select');
        """)
        yield connection


def values(connection: Connection, name: QualifiedName = MOOD) -> tuple[str, ...]:
    enum = LiveFacts(connection).enum(name)
    assert enum is not None
    return enum.values


def test_phases(connection: Connection) -> None:
    assert phases(connection, AddEnumValue(MOOD, "glad")) == ("expand", "switch")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (AddEnumValue(MOOD, "glad"), ("sad", "it's \\ fine", "happy", "glad")),
        (AddEnumValue(MOOD, "glad", before="sad"), ("glad", "sad", "it's \\ fine", "happy")),
        (AddEnumValue(MOOD, "glad", after="it's \\ fine"), ("sad", "it's \\ fine", "glad", "happy")),
        (AddEnumValue(MOOD, "o'\\n : %s ü"), ("sad", "it's \\ fine", "happy", "o'\\n : %s ü")),
        (AddEnumValue(QualifiedName("ünï", "My Shop"), "x" * 63), ("select", "x" * 63)),
    ],
    ids=["at the end", "before", "after", "hostile", "hostile names"],
)
def test_where_the_value_stands(
    connection: Connection, change: AddEnumValue, expected: tuple[str, ...]
) -> None:
    Carried(connection, change).up("expand")
    assert values(connection, change.table) == expected


def test_the_downgrade_leaves_it_and_the_upgrade_finds_it(connection: Connection) -> None:
    carried = Carried(connection, AddEnumValue(MOOD, "glad", before="happy"))
    carried.up("expand")
    once = values(connection)
    carried.down(carried.parts("expand"))
    carried.up("expand")
    assert values(connection) == once


def test_it_does_not_wait_for_a_table_in_use(connection: Connection, database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        connection.execute("SET lock_timeout = 100")
        Carried(connection, AddEnumValue(MOOD, "glad")).up("expand")
    assert "glad" in values(connection)


@pytest.mark.parametrize(
    ("change", "cause", "words"),
    [
        (AddEnumValue(MOOD, "sad"), Misuse, "has a value 'sad' already"),
        (AddEnumValue(MOOD, "x", before="y"), Misuse, "has no value 'y'"),
        (AddEnumValue(MOOD, "x", after="y"), Misuse, "has no value 'y'"),
        (AddEnumValue(MOOD, "x", "sad", "sad"), Misuse, "both given"),
        (AddEnumValue(MOOD, "x" * 64), NameTooLong, "64 bytes"),
        (AddEnumValue(QualifiedName("moods"), "x"), Misuse, "no enumeration"),
        (AddEnumValue(QualifiedName("people"), "x"), Misuse, "no enumeration"),
    ],
)
def test_what_cannot_be_done_is_refused(
    connection: Connection, change: AddEnumValue, cause: type[EvolveError], words: str
) -> None:
    with pytest.raises(cause) as refused:
        make_plan(change, LiveFacts(connection))
    assert words in refused.value.what
    assert refused.value.fix
