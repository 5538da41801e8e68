"""Add a table: nothing knows it yet, so all that matters is what it locks, and who may use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Misuse, Refused
from evolve.plan.change import Change, Place, Uses, table_words
from evolve.plan.facts import Facts, NameTaken, refuse_taken
from evolve.plan.grants import grant_again
from evolve.plan.model import Part, Phase, Plan
from evolve.plan.parameters import TABLE, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.operations import CreateTable, ForeignKey, PrimaryKey, Unread
from evolve.sql.parse import parse
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class AddTable(Change):
    """Add a table.

    Args:
        columns: what stands between the parentheses of CREATE TABLE: columns, constraints, LIKE.
        grants_like: a table whose privileges it gets.
    """

    kind: ClassVar[str] = "add-table"
    columns: str
    grants_like: QualifiedName | None = None

    def words(self) -> Sequence[str]:
        return ["add", *table_words(self.table)]

    def uses(self) -> Uses:
        reads: set[Place] = set()
        for operation in parse(_create(self)):
            if isinstance(operation, CreateTable):
                reads.update((other, None) for other in operation.like)
                for key in _foreign_keys(operation):
                    reads.update((key.target, column) for column in key.target_columns or (None,))
        return Uses(frozenset({(self.table, None)}), frozenset(reads))


class BadColumns(Misuse):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"what the table is to consist of cannot be read: {reason}",
            fix='write what stands between the parentheses of CREATE TABLE: "id bigint GENERATED ALWAYS AS IDENTITY '
            'PRIMARY KEY, name text NOT NULL"',
        )


class ManyLocked(Refused):
    def __init__(self, change: AddTable, others: Sequence[QualifiedName]) -> None:
        super().__init__(
            f"foreign keys of the new table point to {len(others)} tables: {', '.join(o.plain for o in others)}",
            why="writers of all of them would wait at the same time, for as long as it takes to lock the last one",
            fix=f"leave out all but one, and add the others afterwards, one by one: evolve plan add-foreign-key "
            f"{change.table}.… {others[-1]}.…",
        )


def plan(change: AddTable, facts: Facts) -> Plan:
    """CREATE TABLE, and the code that uses it.

    Raises:
        Misuse: the name is taken, the columns do not parse, or a table that they name is not there.
        Refused: more than one other table would be locked.
    """
    refuse_taken(facts, change.table)
    if facts.source == "database" and facts.enum(change.table) is not None:
        # A table brings a type of its own name.
        raise NameTaken(change.table, "type")
    made = _read(change)
    others = tuple(dict.fromkeys(key.target for key in _foreign_keys(made) if key.target != change.table))
    if len(others) > 1:
        raise ManyLocked(change, others)
    for other in (*others, *made.like):
        facts.table(other)
    model = facts.table(change.grants_like) if change.grants_like is not None else None
    statements = (_statement(change, others), *_grants(change.table, model))
    undo = Statement(
        f"DROP TABLE {change.table}",
        LockMode.ACCESS_EXCLUSIVE,
        f"new code alone knows it; readers and writers of {others[0].plain} wait for an instant"
        if others
        else "new code alone knows it",
    )
    name = change.table.plain
    expand = Phase(
        "expand",
        f"{name} is there, and empty",
        (Part(f"add {name}", statements, (undo,)),),
        instructions=("Code that runs now goes on as it is.",),
        go_back="downgrade the expand revision: the table goes",
        undo_loses=f"every row of {name}",
    )
    switch = Phase(
        "switch",
        f"code uses {name}",
        instructions=(f"Deploy code that maps {name}; no earlier.",),
        go_back="deploy the old code again",
    )
    return Plan(change.id, change, (expand, switch), _notes(made, model), facts.source)


def _create(change: AddTable) -> str:
    # The line breaks keep a comment at its end from swallowing the parenthesis.
    return f"CREATE TABLE {change.table} (\n    {change.columns.strip()}\n)"


def _read(change: AddTable) -> CreateTable:
    operations = parse(_create(change))
    match operations:
        case (CreateTable() as made,) if made.partition_by is None and not made.inherits:
            return made
        case (Unread(reason=reason), *_):
            raise BadColumns(reason)
        case _:
            raise BadColumns("it is more than columns and constraints")


def _foreign_keys(made: CreateTable) -> tuple[ForeignKey, ...]:
    every = (*made.constraints, *(each for column in made.columns for each in column.constraints))
    return tuple(each for each in every if isinstance(each, ForeignKey))


def _has_key(made: CreateTable) -> bool:
    every = (*made.constraints, *(each for column in made.columns for each in column.constraints))
    return any(isinstance(each, PrimaryKey) for each in every) or "indexes" in made.like_options


def _statement(change: AddTable, others: Sequence[QualifiedName]) -> Statement:
    if not others:
        return Statement(_create(change), None, "nothing knows the table yet")
    return Statement(
        _create(change),
        LockMode.SHARE_ROW_EXCLUSIVE,
        f"writers of {others[0].plain}, which its foreign key points to, wait for an instant; the table is empty, so "
        "no row is checked",
    )


def _grants(table: QualifiedName, model: Target | None) -> tuple[Statement, ...]:
    if model is None:
        return ()
    return tuple(grant_again(model, table, f"as on {model.table.plain}", columns=False))


def _notes(made: CreateTable, model: Target | None) -> tuple[str, ...]:
    notes = []
    if model is None:
        notes.append(
            "Roles other than the one that runs the revision may use the table only where default privileges say so; "
            "--grants-like TABLE gives it those of a table that is there."
        )
    elif any(column.identity or "nextval" in (column.default or "") for column in model.columns):
        notes.append(
            "Privileges on sequences are not given: an identity column needs none, a serial one needs USAGE on its own."
        )
    if not _has_key(made):
        notes.append("The table has no primary key: backfills and logical replication need one.")
    return tuple(notes)


RECIPE = Recipe(
    AddTable,
    "Add a table.",
    (
        TABLE,
        Parameter(
            "columns",
            "statement",
            "What stands between the parentheses of CREATE TABLE; @FILE reads it from a file.",
        ),
        option("grants_like", "relation", "A table whose privileges it gets.", metavar="TABLE"),
    ),
    plan,
)
