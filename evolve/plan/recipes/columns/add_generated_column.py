"""Add a column that is computed from others: on reading, or by a trigger and in batches where rows hold it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.plan import sync
from evolve.plan.change import Change, Uses, columns, columns_read, table_words
from evolve.plan.expressions import read_type
from evolve.plan.facts import Facts
from evolve.plan.generated import VIRTUAL_SINCE, Computed, NoVirtualColumns, read_generation
from evolve.plan.model import (
    Part,
    Phase,
    Plan,
    trigger_name,
)
from evolve.plan.parameters import COLUMN, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import (
    ColumnExists,
    NoKey,
    Target,
    TargetColumn,
    refuse_family,
    refuse_later_triggers,
)
from evolve.plan.trials import AddsWithoutRewrite, ExpressionHolds, Trial
from evolve.plan.versions import Shapes
from evolve.sql.locks import LockMode
from evolve.sql.names import quote
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class AddGeneratedColumn(Change):
    """Add a column that follows from others.

    Args:
        type: as written by the operator.
        expression: over the row's other columns, the same for every session and moment.
        virtual: computed on reading, which PostgreSQL 18 can; else a plain column that a trigger keeps.
    """

    kind: ClassVar[str] = "add-generated-column"
    column: str
    type: str
    expression: str
    virtual: bool = False

    def words(self) -> Sequence[str]:
        return ["compute", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)), columns_read(self.table, self.expression))


def plan(change: AddGeneratedColumn, facts: Facts) -> Plan:
    """One phase for a virtual column, four where each row is to hold the value.

    Raises:
        Misuse: the column exists, or type or expression do not fit.
        Refused: something about the table or the server stands in the way.
    """
    target = facts.table(change.table)
    refuse_family(target)
    if target.column(change.column) is not None:
        raise ColumnExists(target, change.column)
    definition = read_type(change.type)
    read_generation(target, change.column, change.expression)
    column = TargetColumn(change.column, definition.type, collation=definition.collation)
    if change.virtual:
        version = target.server_version
        if version is None or version < VIRTUAL_SINCE:
            raise NoVirtualColumns(version)
        return Plan(change.id, change, (_virtual(change, column),), _notes(target), target.source)
    if not target.key:
        raise NoKey(target)
    refuse_later_triggers(target, trigger_name(change.id))
    return Plan(change.id, change, _stored(change, target, column), _notes(target), target.source)


def _spelled(column: TargetColumn) -> str:
    return f"{column.type} COLLATE {column.collation}" if column.collation else column.type


def _drop(change: AddGeneratedColumn) -> Statement:
    return Statement(
        f"ALTER TABLE {change.table}\n    DROP COLUMN {quote(change.column)}",
        LockMode.ACCESS_EXCLUSIVE,
        "catalog only; its values follow from other columns",
    )


def _virtual(change: AddGeneratedColumn, column: TargetColumn) -> Phase:
    name = f"{change.table.plain}.{change.column}"
    add = (
        f"ALTER TABLE {change.table}\n    ADD COLUMN {quote(change.column)} {_spelled(column)} "
        f"GENERATED ALWAYS AS ({change.expression}) VIRTUAL"
    )
    why = "a virtual column changes only the catalog: it is computed when it is read"
    return Phase(
        "expand",
        f"{name} is there, computed whenever it is read",
        (Part(f"add {name}", (Statement(add, LockMode.ACCESS_EXCLUSIVE, why),), (_drop(change),)),),
        instructions=("Code that runs now goes on as it is; code that reads the column may start.",),
        go_back="downgrade the expand revision: the column goes",
    )


def _stored(change: AddGeneratedColumn, target: Target, column: TargetColumn) -> tuple[Phase, ...]:
    kept = Computed(change, target, column, change.expression)
    name = kept.place
    statements = (
        sync.create_schema(),
        kept.create_function(),
        Statement(
            f"ALTER TABLE {change.table}\n    ADD COLUMN {quote(change.column)} {_spelled(column)}",
            LockMode.ACCESS_EXCLUSIVE,
            "a nullable column without a default changes only the catalog; GENERATED … STORED would write each row "
            "anew while nobody reads or writes the table",
        ),
        *kept.arm(),
    )
    return (
        Phase(
            "expand",
            f"{name} is there, and a trigger computes it on every write",
            (Part(f"add {name}", statements, kept.disarmed((_drop(change),))),),
            instructions=("Code that runs now goes on as it is.",),
            go_back="downgrade the expand revision: trigger, function and column go",
        ),
        *kept.filled(f"{name} is computed in every row", "stop the backfill; rows filled so far do no harm"),
        kept.switch(
            f"code may read {name}; the trigger stays for good",
            f"Deploy code that reads {name}. It need not write it: the trigger sets it, whatever was given.",
        ),
    )


def _notes(target: Target) -> tuple[str, ...]:
    if not target.published:
        return ()
    return (
        f"The table is published by {', '.join(target.published)}: add the column on every subscriber before expand.",
    )


def trials(change: AddGeneratedColumn, _facts: Facts) -> Iterator[Trial]:
    bare = read_type(change.type).type
    yield AddsWithoutRewrite(bare, "take the domain's base type")
    yield ExpressionHolds(change.table, "the expression", change.expression, bare, may_be_null=True)


def shapes(change: AddGeneratedColumn, facts: Facts) -> Shapes:
    return Shapes.within(facts.table(change.table), also=(change.column,))


RECIPE = Recipe(
    AddGeneratedColumn,
    "Add a column that is computed from others.",
    (
        COLUMN,
        Parameter("type", "type", "Its type."),
        Parameter("expression", "expression", "What it is, over the row's other columns."),
        option("virtual", "flag", "Compute it on reading: at once, without a trigger (PostgreSQL 18)."),
    ),
    plan,
    trials,
    shapes,
)
