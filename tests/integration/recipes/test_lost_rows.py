"""Rows that lose something at purge, counted on a real server: by the gate, and by the revision itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg
import pytest
from support.changes import Carried, Connection

from evolve.plan.change import Change
from evolve.plan.gate_sql import SHUT
from evolve.plan.gates import Observation
from evolve.plan.model import LostRows
from evolve.plan.recipes.columns.change_type import ChangeType
from evolve.plan.recipes.columns.json_key_to_column import JsonKeyToColumn
from evolve.plan.recipes.columns.merge_columns import MergeColumns
from evolve.plan.recipes.columns.split_column import SplitColumn
from evolve.postgres import evidence
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

PEOPLE = QualifiedName("people")
SCHEMA = """
    CREATE TABLE people (id int PRIMARY KEY, name text, street text, number text, code text, age int, doc jsonb);
    INSERT INTO people SELECT n, 'g F', 'Road', n, n, n, '{"years": 4}' FROM generate_series(1, 9) n;
"""
SPLIT = SplitColumn(
    PEOPLE,
    "name",
    (("given", "split_part(name, ' ', 1)"), ("family", "split_part(name, ' ', 2)")),
    "given || ' ' || family",
)


@dataclass(frozen=True)
class Case:
    """What old code writes, how it is mended, and what of it must be there after purge."""

    change: Change
    written: str
    mended: str
    told: str
    meaning: str


CASES = {
    "split": Case(
        SPLIT,
        "UPDATE people SET name = 'Johann Sebastian Bach' WHERE id = 3",
        "UPDATE people SET family = 'Sebastian Bach' WHERE id = 3",
        "SELECT given || ' ' || family = 'Johann Sebastian Bach' FROM people WHERE id = 3",
        "more in name than given and family tell",
    ),
    "merge": Case(
        MergeColumns(
            PEOPLE,
            (("address", "concat_ws(' ', street, number)"),),
            (("street", "split_part(address, ' ', 1)"), ("number", "split_part(address, ' ', 2)")),
        ),
        "UPDATE people SET street = 'Long Road', number = '3' WHERE id = 3",
        "UPDATE people SET address = 'Road 3' WHERE id = 3",
        "SELECT address = 'Road 3' FROM people WHERE id = 3",
        "more in street and number than address tells",
    ),
    "type under its name": Case(
        ChangeType(PEOPLE, "code", "integer", up="code::integer", down="code::text", rejects="null"),
        "UPDATE people SET code = 'none' WHERE id = 3",
        "UPDATE people SET code = 0 WHERE id = 3",
        "SELECT code = 0 FROM people WHERE id = 3",
        "more in the old code than its integer tells",
    ),
    "type under another": Case(
        ChangeType(
            PEOPLE, "code", "varchar(2)", up="left(code, 2)", down="short", to="short", rejects="accept"
        ),
        "UPDATE people SET code = 'long' WHERE id = 3",
        "UPDATE people SET short = 'ok' WHERE id = 3",
        "SELECT short = 'ok' FROM people WHERE id = 3",
        "more in code than short tells",
    ),
    "key of documents": Case(
        JsonKeyToColumn(PEOPLE, "doc", "years", "years", "integer", rejects="null", remove_key=True),
        """UPDATE people SET doc = '{"years": "old"}' WHERE id = 3""",
        "UPDATE people SET years = 99 WHERE id = 3",
        "SELECT years = 99 FROM people WHERE id = 3",
        "more under years of doc than years tells",
    ),
}


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def contracted(connection: Connection, case: Case) -> Carried:
    carried = Carried(connection, case.change)
    carried.up("expand", "backfill", "validate")
    connection.execute(case.written.encode())
    carried.up("switch", "contract")
    return carried


def losing(carried: Carried) -> LostRows:
    purge = carried.plan.phase("purge")
    assert purge is not None
    (gate,) = [gate for gate in purge.gates if isinstance(gate, LostRows)]
    return gate


def seen(carried: Carried) -> Observation:
    return evidence.observe(carried.connection, "x", losing(carried))


@pytest.mark.parametrize("name", list(CASES))
def test_purge_is_shut_until_they_are_mended(connection: Connection, name: str) -> None:
    case = CASES[name]
    carried = contracted(connection, case)
    assert losing(carried).meaning == case.meaning
    assert (seen(carried).open, seen(carried).observed) == (False, "1 row, none accepted with the plan")
    with pytest.raises(psycopg.Error, match=f"rows of people hold {case.meaning}: 1, accepted: 0") as stopped:
        carried.up("purge")
    assert stopped.value.sqlstate == SHUT
    connection.execute(case.mended.encode())
    assert (seen(carried).open, seen(carried).observed) == (True, "0 rows")
    carried.up("purge")
    assert connection.execute(case.told.encode()).fetchone() == (True,)


@pytest.mark.parametrize("name", list(CASES))
def test_a_row_that_is_accepted_opens_it_and_a_second_does_not(connection: Connection, name: str) -> None:
    case = replace(CASES[name], change=replace(CASES[name].change, accept_lost=1))
    carried = contracted(connection, case)
    assert (seen(carried).open, seen(carried).observed) == (True, "1 row, 1 accepted with the plan")
    carried.up("purge")
    again = replace(losing(carried), table=QualifiedName("people"), predicate="id < 3")
    assert not evidence.observe(connection, "x", again).open


def test_what_is_accepted_in_a_database_counts_in_its_revisions(connection: Connection) -> None:
    carried = contracted(connection, CASES["split"])
    evidence.say(connection, "x", "purge", "lost-0", "ada")
    with pytest.raises(psycopg.Error, match="accepted: 0"):
        carried.up("purge")
    evidence.say(connection, "another", "purge", "lost-7", "ada")
    with pytest.raises(psycopg.Error, match="accepted: 0"):
        carried.up("purge")
    evidence.say(connection, "x", "purge", "lost-2", "ada")
    evidence.undone(connection, "x", ["purge"], (), "ada")
    with pytest.raises(psycopg.Error, match="accepted: 0"):
        carried.up("purge")
    evidence.say(connection, "x", "purge", "lost-1", "ada")
    assert seen(carried).observed.startswith("1 row, ada accepted 1 at ")
    carried.up("purge")


def test_who_may_not_read_the_evidence_is_stopped_by_the_gate_and_not_by_that(connection: Connection) -> None:
    carried = contracted(connection, CASES["split"])
    evidence.say(connection, "x", "purge", "lost-1", "ada")
    connection.execute("CREATE ROLE evolve_stranger; GRANT SELECT ON people TO evolve_stranger")
    try:
        connection.execute("SET ROLE evolve_stranger")
        with pytest.raises(psycopg.Error, match="accepted: 0") as stopped:
            carried.up("purge")
        assert stopped.value.sqlstate == SHUT
    finally:
        connection.execute("RESET ROLE; DROP OWNED BY evolve_stranger; DROP ROLE evolve_stranger")


def test_contract_loses_nothing_and_purge_does(connection: Connection) -> None:
    """So the gate stands before purge alone."""
    case = replace(CASES["split"], change=replace(SPLIT, accept_lost=1))
    carried = contracted(connection, case)
    carried.down(carried.parts("contract"))
    name = "SELECT name FROM people WHERE id = 3"
    assert connection.execute(name).fetchone() == ("Johann Sebastian Bach",)
    carried.up("contract", "purge")
    carried.down((*carried.parts("contract"), *carried.parts("purge")))
    assert connection.execute(name).fetchone() == ("Johann Sebastian",)


@pytest.mark.parametrize(
    "change",
    [
        ChangeType(PEOPLE, "age", "bigint"),
        ChangeType(PEOPLE, "code", "integer", up="code::integer", down="code::text"),
        JsonKeyToColumn(PEOPLE, "doc", "years", "years", "integer", rejects="null"),
        JsonKeyToColumn(PEOPLE, "doc", "years", "years", "integer", remove_key=True),
    ],
    ids=["widened", "what does not fit is refused", "the key stays", "what is no number is refused"],
)
def test_where_nothing_can_be_lost_nothing_is_counted(connection: Connection, change: Change) -> None:
    gates = [gate for phase in Carried(connection, change).plan.phases for gate in phase.gates]
    assert not [gate for gate in gates if isinstance(gate, LostRows)]
