"""Take a column's default away: code that gives a value comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evolve.errors import Misuse
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.code_first import code_first
from evolve.plan.defaults import other_default, refuse_given
from evolve.plan.facts import Facts
from evolve.plan.model import Part, Plan
from evolve.plan.new_column import set_default
from evolve.plan.parameters import COLUMN
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target, known_column, refuse_members
from evolve.plan.versions import Shapes


@dataclass(frozen=True, slots=True)
class DropDefault(Change):
    """Take the default of a column away."""

    kind: ClassVar[str] = "drop-default"
    column: str

    def words(self) -> Sequence[str]:
        return ["drop_default", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)))


class NoDefault(Misuse):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" has no default', fix="there is nothing to do"
        )


def plan(change: DropDefault, facts: Facts) -> Plan:
    """Code that relies on it no longer first, then DROP DEFAULT.

    Raises:
        Misuse: the column is unknown, or has no default.
        Refused: the table is one of a family.
    """
    target = facts.table(change.table)
    refuse_members(target)
    column = known_column(target, change.column)
    refuse_given(target, column)
    if column.default is None:
        raise NoDefault(target, change.column)
    name = f"{target.table.plain}.{change.column}"
    statement = set_default(
        target.table, change.column, None, "catalog only; all running code gives the column a value itself"
    )
    part = Part(
        f"{name} has no default",
        (replace(statement, allow=("drop-default",)),),
        (set_default(target.table, change.column, column.default),),
    )
    missed = "fails" if column.not_null else "writes null there"
    phases = code_first(
        part,
        deploy=f"Deploy code that gives {name} a value in every INSERT: a model without its server_default.",
        ready=f"all running code gives {name} a value in every INSERT",
        done=f"{name} has no default: an INSERT that leaves it out {missed}",
    )
    notes = []
    if any(dependent.kind == "sequence" for dependent in target.dependents_of(change.column)):
        notes.append(
            "The sequence that the column owns stays, and goes on where it is if the default comes back."
        )
    return Plan(change.id, change, phases, tuple(notes), target.source)


def shapes(change: DropDefault, facts: Facts) -> Shapes:
    target = facts.table(change.table)
    column = known_column(target, change.column)
    return other_default(target, change.column, column.default, None)


RECIPE = Recipe(DropDefault, "Take a column's default away.", (COLUMN,), plan, shapes=shapes)
