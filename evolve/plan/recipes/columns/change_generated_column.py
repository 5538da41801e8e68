"""Compute a generated column otherwise: at once where it is computed on reading, else by a trigger and in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evolve.errors import Misuse, Refused
from evolve.plan import sync
from evolve.plan.change import Change, Uses, columns, columns_read, table_words
from evolve.plan.facts import Facts
from evolve.plan.generated import Computed, generate_again, generated_column, read_generation
from evolve.plan.model import (
    Part,
    Phase,
    Plan,
    trigger_name,
)
from evolve.plan.parameters import COLUMN, Parameter
from evolve.plan.put_back import type_of
from evolve.plan.recipe import Recipe
from evolve.plan.target import NoKey, Target, TargetColumn, known_column, refuse_family, refuse_later_triggers
from evolve.plan.trials import ExpressionHolds, Trial
from evolve.plan.versions import Shapes, whole
from evolve.sql.locks import LockMode
from evolve.sql.names import quote
from evolve.sql.parse import canonical
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class ChangeGeneratedColumn(Change):
    """Give a generated column another expression.

    Args:
        expression: over the row's other columns, the same for every session and moment.
    """

    kind: ClassVar[str] = "change-generated-column"
    column: str
    expression: str

    def words(self) -> Sequence[str]:
        return ["recompute", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)), columns_read(self.table, self.expression))


class SameExpression(Misuse):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is computed like that already',
            fix="there is nothing to do",
        )


class CheckOnTable(Refused):
    def __init__(self, target: Target, column: str, constraint: str) -> None:
        super().__init__(
            f'"{target.table.plain}" has a check, "{constraint}", and its column "{column}" is virtual',
            why="PostgreSQL 18 gives no virtual column of such a table another expression",
            fix="add another column with evolve plan add-generated-column, switch the readers, and drop this one",
        )


def plan(change: ChangeGeneratedColumn, facts: Facts) -> Plan:
    """One phase for a virtual column, four for a stored one.

    Raises:
        Misuse: the column is not generated, or the expression does not fit.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    refuse_family(target)
    column, generation = generated_column(target, change.column)
    read = read_generation(target, change.column, change.expression)
    if canonical(read.sql) == canonical(generation):
        raise SameExpression(target, change.column)
    if column.virtual:
        for constraint in target.constraints:
            if constraint.kind == "check":
                raise CheckOnTable(target, change.column, constraint.name)
        return Plan(change.id, change, (_virtual(change, generation),), (), target.source)
    if not target.key:
        raise NoKey(target)
    refuse_later_triggers(target, trigger_name(change.id))
    name = f"{change.table.plain}.{change.column}"
    notes = (
        f"Afterwards {name} is a plain column that a trigger computes on every write: PostgreSQL cannot give a stored "
        "column another expression without writing each row anew while nobody reads or writes the table.",
        f"Until the backfill is done some rows of {name} are computed in the old way, some in the new one.",
    )
    return Plan(change.id, change, _stored(change, target, column, generation), notes, target.source)


def _virtual(change: ChangeGeneratedColumn, generation: str) -> Phase:
    name = f"{change.table.plain}.{change.column}"
    alter = f"ALTER TABLE {change.table}\n    ALTER COLUMN {quote(change.column)} SET EXPRESSION AS "
    why = "no row holds the value, so only the catalog changes"
    return Phase(
        "expand",
        f"{name} is computed in the new way by whoever reads it",
        (
            Part(
                f"{name} is computed otherwise",
                (
                    Statement(
                        f"{alter}({change.expression})",
                        LockMode.ACCESS_EXCLUSIVE,
                        why,
                        allow=("alter-generated-expression",),
                    ),
                ),
                (Statement(f"{alter}({generation})", LockMode.ACCESS_EXCLUSIVE, why),),
            ),
        ),
        instructions=("First deploy code that copes with both meanings of the column.",),
        go_back="downgrade the expand revision: the column is computed in the old way",
    )


def _stored(
    change: ChangeGeneratedColumn, target: Target, column: TargetColumn, generation: str
) -> tuple[Phase, ...]:
    kept = Computed(change, target, column, change.expression)
    name = kept.place
    statements = (
        sync.create_schema(),
        kept.create_function(),
        Statement(
            f"ALTER TABLE {change.table}\n    ALTER COLUMN {quote(change.column)} DROP EXPRESSION",
            LockMode.ACCESS_EXCLUSIVE,
            "catalog only: each row keeps its value, and the trigger of the same transaction computes it from here on",
            allow=("drop-generated-expression",),
        ),
        *kept.arm(),
    )
    undo = kept.disarmed(generate_again(target, column, generation))
    return (
        Phase(
            "expand",
            f"every write computes {name} in the new way",
            (Part(f"{name} is computed otherwise", statements, undo),),
            instructions=("First deploy code that copes with both meanings of the column.",),
            go_back="downgrade the expand revision: the column is dropped and computed anew in every row; what was "
            "made from it, such as a view, must be dropped before",
        ),
        *kept.filled(
            f"{name} is computed in the new way in every row", "stop the backfill; rows stay as they are"
        ),
        kept.switch(
            f"all code may take {name} in its new meaning; the trigger stays for good",
            f"Deploy code that relies on the new meaning of {name}.",
        ),
    )


def trials(change: ChangeGeneratedColumn, facts: Facts) -> Iterator[Trial]:
    column = known_column(facts.table(change.table), change.column)
    yield ExpressionHolds(
        change.table, "the expression", change.expression, column.type, may_be_null=not column.not_null
    )


def shapes(change: ChangeGeneratedColumn, facts: Facts) -> Shapes:
    target = facts.table(change.table)
    column, generation = generated_column(target, change.column)
    known = replace(whole(target), computed=((column.name, f"CAST({generation} AS {type_of(column)})"),))
    return Shapes((known,), (whole(target),))


RECIPE = Recipe(
    ChangeGeneratedColumn,
    "Compute a generated column otherwise.",
    (COLUMN, Parameter("expression", "expression", "What it is to be, over the row's other columns.")),
    plan,
    trials,
    shapes,
)
