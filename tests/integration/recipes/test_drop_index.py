"""Dropping and replacing an index on a real server: evidence of its use, what is refused, and the way back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores, tried

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.model import Holds
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.indexes.add_index import DuplicateKeys
from evolve.plan.recipes.indexes.drop_index import DropIndex
from evolve.plan.recipes.indexes.replace_index import ReplaceIndex
from evolve.postgres.evidence import observe
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

CODE, ONCE = QualifiedName("ix_code"), QualifiedName('On"ce', "My App")
SCHEMA = """
    CREATE TABLE orders (id bigint PRIMARY KEY, code text, other text);
    CREATE INDEX ix_code ON orders (lower(code) DESC) INCLUDE (id) WHERE id > 2;
    COMMENT ON INDEX ix_code IS 'it''s for \\ searching';
    CREATE SCHEMA "My App";
    CREATE TABLE "My App"."Größe" ("user" int, b int);
    CREATE UNIQUE INDEX "On""ce" ON "My App"."Größe" ("user");
    INSERT INTO orders SELECT n, n::text, 'x' FROM generate_series(1, 60) n;
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def described(connection: Connection) -> object:
    return connection.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid, obj_description(indexrelid) "
        "FROM pg_index WHERE indrelid IN ('orders'::regclass, '\"My App\".\"Größe\"'::regclass) ORDER BY 1"
    ).fetchall()


CHANGES: dict[str, Change] = {
    "drop": DropIndex(CODE),
    "drop unique": DropIndex(ONCE),
    "replace": ReplaceIndex(CODE, "code, id DESC", where="id > 1"),
    "replace unique": ReplaceIndex(ONCE, '"user", b'),
    "make unique": ReplaceIndex(CODE, "code", unique=True),
}


@pytest.mark.parametrize("case", list(CHANGES))
def test_the_way_back_restores_it(connection: Connection, case: str) -> None:
    before = described(connection)
    assert restores(connection, CHANGES[case])
    assert described(connection) == before


def test_it_is_gone(connection: Connection) -> None:
    Carried(connection, DropIndex(CODE)).up("expand", "purge")
    assert [index.name for index in table(connection, "orders").indexes] == ["orders_pkey"]


def use(connection: Connection) -> None:
    connection.execute("SET enable_seqscan = off")
    connection.execute("SELECT count(*) FROM orders WHERE lower(code) = '7' AND id > 2")
    if connection.info.server_version >= 150000:
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
        return
    # Another process gathers what sessions tell it, and they do so twice a second at most.
    time.sleep(1)
    connection.execute("SELECT 1")
    time.sleep(2)


@pytest.mark.parametrize("used", [False, True])
def test_the_gate_opens_where_nothing_has_used_it_since(connection: Connection, used: bool) -> None:
    use(connection)  # before it is planned counts not
    plan = Carried(connection, DropIndex(CODE)).plan
    (gate,) = [gate for gate in plan.phases[1].gates if isinstance(gate, Holds)]
    if used:
        use(connection)
    assert observe(connection, plan.id, gate).open is not used


def test_the_count_can_be_left_out(connection: Connection) -> None:
    plan = Carried(connection, DropIndex(CODE, although_used=True)).plan
    assert not [gate for gate in plan.phases[1].gates if isinstance(gate, Holds)]


def test_an_invalid_index_goes_at_once(connection: Connection) -> None:
    connection.execute("UPDATE orders SET code = '1'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY failed ON orders (code)")
    change = DropIndex(QualifiedName("failed"))
    assert phases(connection, change) == ("expand",)
    Carried(connection, change).up("expand")
    assert all(index.valid for index in table(connection, "orders").indexes)


def test_the_new_index_has_the_name_and_the_comment(connection: Connection) -> None:
    Carried(connection, ReplaceIndex(CODE, "code", using="hash")).up("expand", "contract", "purge")
    row = connection.execute(
        "SELECT pg_get_indexdef(oid), obj_description(oid) FROM pg_class WHERE relname LIKE '%code%'"
    ).fetchall()
    assert row == [("CREATE INDEX ix_code ON public.orders USING hash (code)", "it's for \\ searching")]


def test_no_lock_on_the_table_is_taken_for_the_names(connection: Connection) -> None:
    carried = Carried(connection, ReplaceIndex(CODE, "code"))
    carried.up("expand")
    with connection.transaction():
        for statement in carried.parts("contract")[0].statements[:2]:
            connection.execute(statement.sql.encode())
        locked = connection.execute(
            "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'orders'::regclass"
        ).fetchall()
    assert locked == []


def test_duplicates_are_refused(connection: Connection) -> None:
    with pytest.raises(DuplicateKeys, match="60 rows"):
        tried(connection, ReplaceIndex(CODE, "other", unique=True))


def test_a_foreign_key_that_is_left_without_an_index_is_told_of(connection: Connection) -> None:
    connection.execute(
        "ALTER TABLE orders ADD boss bigint CONSTRAINT led REFERENCES orders; CREATE INDEX ix_boss ON orders (boss)"
    )
    plan = make_plan(DropIndex(QualifiedName("ix_boss")), LiveFacts(connection))
    assert any('"led"' in note for note in plan.notes)


PARTS = """
    CREATE TABLE parts (id int, at int) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parts DEFAULT;
    CREATE INDEX whole ON parts (at);
"""
IDENTITY = """
    CREATE TABLE log (a int NOT NULL); CREATE UNIQUE INDEX u ON log (a); ALTER TABLE log REPLICA IDENTITY USING INDEX u
"""
POINTED = (
    "CREATE UNIQUE INDEX u ON orders (code); CREATE TABLE l (a text CONSTRAINT f REFERENCES orders (code))"
)
REFUSED: dict[str, tuple[str, str, type[EvolveError], str]] = {
    "unknown": ("", "nobody", Misuse, 'no index "nobody"'),
    "a table": ("", "orders", Misuse, 'no index "orders"'),
    "of a constraint": ("", "orders_pkey", Refused, 'constraint "orders_pkey"'),
    "pointed at": (POINTED, "u", Refused, 'foreign key "f" of l'),
    "replica identity": (IDENTITY, "u", Refused, "replica identity"),
    "partitioned": (PARTS, "whole", Refused, "partitioned table"),
    "of a partition": (PARTS, "part_at_idx", Refused, "index whole of the partitioned table"),
}


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_done_is_refused(connection: Connection, case: str, replace: bool) -> None:
    ddl, name, cause, words = REFUSED[case]
    if ddl:
        connection.execute(ddl.encode())
    index = QualifiedName(name)
    change: Change = ReplaceIndex(index, "id") if replace else DropIndex(index)
    with pytest.raises(cause) as refused:
        make_plan(change, LiveFacts(connection))
    assert words in refused.value.what
    assert refused.value.fix


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (ReplaceIndex(CODE, "lower(code) DESC", where="id > 2", include=("id",)), "is that already"),
        (ReplaceIndex(CODE, "nobody"), 'no column "nobody"'),
        (ReplaceIndex(CODE, "code); DROP TABLE orders; --"), "--on"),
    ],
)
def test_a_wrong_definition_is_refused(connection: Connection, change: Change, words: str) -> None:
    with pytest.raises(Misuse) as refused:
        make_plan(change, LiveFacts(connection))
    assert words in refused.value.what
