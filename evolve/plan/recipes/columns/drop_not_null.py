"""Let a column hold nulls: code that reads it comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Misuse
from evolve.plan import not_null
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.code_first import code_first
from evolve.plan.facts import Facts
from evolve.plan.model import Part, Plan
from evolve.plan.parameters import COLUMN
from evolve.plan.recipe import Recipe
from evolve.plan.target import InTheWay, Target, known_column, refuse_members
from evolve.sql.locks import LockMode
from evolve.sql.names import quote
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class DropNotNull(Change):
    """Let a column hold nulls."""

    kind: ClassVar[str] = "drop-not-null"
    column: str

    def words(self) -> Sequence[str]:
        return ["drop_not_null", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)))


class NullableAlready(Misuse):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" may hold nulls already',
            fix="there is nothing to do",
        )


def plan(change: DropNotNull, facts: Facts) -> Plan:
    """Code that bears a null first, then DROP NOT NULL.

    Raises:
        Misuse: the column is unknown or nullable.
        Refused: the primary key, an identity or the replica identity needs it, or the table is one of a family.
    """
    target = facts.table(change.table)
    refuse_members(target)
    column = known_column(target, change.column)
    if not column.not_null:
        raise NullableAlready(target, change.column)
    _refuse_needed(target, change.column)
    name = f"{target.table.plain}.{change.column}"
    part = Part(
        f"{name} may be null",
        (
            Statement(
                f"ALTER TABLE {target.table}\n    ALTER COLUMN {quote(change.column)} DROP NOT NULL",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; no row is read or written, and all running code bears a null there",
                allow=("drop-not-null",),
            ),
        ),
        tuple(not_null.restore(target.table, change.column)),
    )
    phases = code_first(
        part,
        deploy=f"Deploy code that bears a null wherever it reads {name}; it must not write one yet.",
        ready=f"all running code bears a null in {name}",
        done=f"{name} may be null; code that writes nulls there may start",
        undo_loses=f"nothing, but it is refused while a row holds null in {name}",
    )
    return Plan(change.id, change, phases, _notes(target, change.column), target.source)


def _refuse_needed(target: Target, column: str) -> None:
    known = target.column(column)
    if known is not None and known.identity:
        raise InTheWay(
            target,
            column,
            "its own identity sequence",
            "an identity column is never null",
            "keep it NOT NULL",
        )
    for constraint in target.constraints_on(column):
        if constraint.kind == "primary key":
            raise InTheWay(
                target,
                column,
                f'the primary key "{constraint.name}"',
                "the columns of a primary key are never null",
                "give the table another primary key in a change of its own",
            )
    for dependent in target.dependents_of(column):
        if dependent.description == "the replica identity of the table":
            raise InTheWay(
                target,
                column,
                dependent.description,
                "rows could no longer be told apart by it",
                "choose another in a revision before: ALTER TABLE … REPLICA IDENTITY",
            )


def _notes(target: Target, column: str) -> tuple[str, ...]:
    notes = []
    if target.published:
        notes.append(
            f"The table is published by {', '.join(target.published)}: let the column be null on every subscriber "
            "before contract."
        )
    if target.partitioned:
        notes.append("The statement locks every partition at the same time, each for an instant.")
    if column in target.key:
        notes.append("Backfills walk this table by that column; without it they need another key.")
    return tuple(notes)


RECIPE = Recipe(DropNotNull, "Let a column hold nulls.", (COLUMN,), plan)
