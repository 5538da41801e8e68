"""drop-not-null, set-default and drop-default on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.change import Change
from evolve.plan.model import OLD_CODE_GONE, PhaseName, Word
from evolve.plan.recipes.columns.drop_default import DropDefault
from evolve.plan.recipes.columns.drop_not_null import DropNotNull
from evolve.plan.recipes.columns.set_default import SetDefault
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

PEOPLE = QualifiedName("people")
PARTS = QualifiedName("parts")
SCHEMA = """
    CREATE TABLE people (
        id bigint PRIMARY KEY,
        number int GENERATED ALWAYS AS IDENTITY,
        "E-mail" text NOT NULL,
        city text DEFAULT 'Bonn',
        code text UNIQUE,
        shout text GENERATED ALWAYS AS (upper(city)) STORED,
        ticket bigserial
    );
    INSERT INTO people (id, "E-mail") SELECT n, n FROM generate_series(1, 50) n;
    CREATE TABLE parts (a int, b int NOT NULL DEFAULT 1) PARTITION BY LIST (a);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
"""

NULLABLE = DropNotNull(PEOPLE, "E-mail")
NEW = SetDefault(PEOPLE, "E-mail", "'none'")
OTHER = SetDefault(PEOPLE, "city", "'Paris'")
OTHER_NOW = SetDefault(PEOPLE, "city", "'Paris'", at_once=True)
NONE = DropDefault(PEOPLE, "city")
NONE_OF_SERIAL = DropDefault(PEOPLE, "ticket")

AT_ONCE: tuple[PhaseName, ...] = ("expand", "switch")
CODE_FIRST: tuple[PhaseName, ...] = ("expand", "switch", "contract")
PHASES_OF: list[tuple[Change, tuple[PhaseName, ...]]] = [
    (NULLABLE, CODE_FIRST),
    (NEW, AT_ONCE),
    (OTHER, CODE_FIRST),
    (OTHER_NOW, AT_ONCE),
    (NONE, CODE_FIRST),
    (NONE_OF_SERIAL, CODE_FIRST),
    (DropNotNull(PARTS, "b"), CODE_FIRST),
    (DropDefault(PARTS, "b"), CODE_FIRST),
]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


@pytest.mark.parametrize(("change", "names"), PHASES_OF, ids=[str(change) for change, _ in PHASES_OF])
def test_the_way_back_from_the_end_restores_the_table(
    connection: Connection, change: Change, names: tuple[PhaseName, ...]
) -> None:
    carried = Carried(connection, change)
    assert tuple(phase.name for phase in carried.plan.phases) == names
    before = table(connection, change.table.name)
    carried.up(*names)
    changed = table(connection, change.table.name)
    for name in reversed(names):
        carried.down(carried.parts(name))
    after = table(connection, change.table.name)
    assert (after.columns, after.constraints) == (before.columns, before.constraints)
    assert changed.columns != before.columns


@pytest.mark.parametrize("change", [NULLABLE, OTHER, NONE], ids=str)
def test_the_statement_waits_for_a_word(connection: Connection, change: Change) -> None:
    plan = Carried(connection, change).plan
    assert [phase.name for phase in plan.phases if phase.parts] == ["contract"]
    contract = plan.phase("contract")
    assert contract is not None
    assert [gate.name for gate in contract.gates if isinstance(gate, Word)] == [OLD_CODE_GONE]


@pytest.mark.parametrize("change", [change for change, _ in PHASES_OF], ids=str)
def test_nothing_is_read_or_written(connection: Connection, change: Change) -> None:
    """A scan or a rewrite would count as one in the statistics of this transaction."""
    carried = Carried(connection, change)
    scans = (
        "SELECT relfilenode, pg_stat_get_xact_numscans(oid) FROM pg_class WHERE oid = "
        f"'{change.table.name}'::regclass"
    )
    with connection.transaction():
        before = connection.execute(scans.encode()).fetchone()
        for phase in carried.plan.phases:
            for statement in phase.statements:
                connection.execute(statement.sql.encode())
        assert connection.execute(scans.encode()).fetchone() == before


def test_going_back_from_nullable_is_refused_while_a_row_holds_null(connection: Connection) -> None:
    carried = Carried(connection, NULLABLE)
    carried.up(*CODE_FIRST)
    connection.execute("""UPDATE people SET "E-mail" = NULL WHERE id = 7""")
    with pytest.raises(psycopg.errors.CheckViolation):
        carried.down(carried.parts("contract"))
    connection.execute("""UPDATE people SET "E-mail" = '7' WHERE id = 7""")
    carried.down(carried.parts("contract"))
    column = table(connection, "people").column("E-mail")
    assert column is not None
    assert column.not_null


def test_a_partitioned_table_hands_it_on(connection: Connection) -> None:
    Carried(connection, DropNotNull(PARTS, "b")).up("contract")
    column = table(connection, "parts_1").column("b")
    assert column is not None
    assert not column.not_null


REFUSED: dict[str, tuple[Change, type[EvolveError], str]] = {
    "nullable already": (DropNotNull(PEOPLE, "city"), Misuse, "may hold nulls already"),
    "primary key": (DropNotNull(PEOPLE, "id"), Refused, "primary key"),
    "identity not null": (DropNotNull(PEOPLE, "number"), Refused, "identity"),
    "partition": (DropNotNull(QualifiedName("parts_1"), "b"), Refused, "is a partition"),
    "no default": (DropDefault(PEOPLE, "code"), Misuse, "no default"),
    "identity without a default": (DropDefault(PEOPLE, "number"), Misuse, "identity"),
    "generated": (SetDefault(PEOPLE, "shout", "'x'"), Misuse, "generated"),
    "same default": (SetDefault(PEOPLE, "city", "'Bonn'"), Misuse, "already"),
    "column in default": (SetDefault(PEOPLE, "city", "code"), Misuse, "knows no other column"),
    "null": (SetDefault(PEOPLE, "city", "NULL"), Misuse, "fills nothing"),
    "unique": (SetDefault(PEOPLE, "code", "'x'"), Refused, "people_code_key"),
    "unknown": (SetDefault(PEOPLE, "cod", "'x'"), Misuse, "no column"),
}


@pytest.mark.parametrize(("change", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_refused(connection: Connection, change: Change, error: type[EvolveError], says: str) -> None:
    with pytest.raises(error) as raised:
        Carried(connection, change)
    assert says in str(raised.value)


def test_the_replica_identity_needs_it(connection: Connection) -> None:
    connection.execute("""
        CREATE UNIQUE INDEX people_mail ON people ("E-mail");
        ALTER TABLE people REPLICA IDENTITY USING INDEX people_mail;
    """)
    with pytest.raises(Refused, match="replica identity"):
        Carried(connection, NULLABLE)
