"""Let a generated column become a plain one with its values, still computed for code that does not write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Refused
from evolve.plan import sync
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.facts import Facts
from evolve.plan.generated import generate_again, generated_column
from evolve.plan.model import (
    OLD_CODE_GONE,
    Part,
    Phase,
    Plan,
    TriggerArmed,
    Word,
    function_name,
    trigger_name,
)
from evolve.plan.parameters import COLUMN
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target, refuse_family, refuse_later_triggers
from evolve.sql.locks import LockMode
from evolve.sql.names import quote
from evolve.sql.parse import expression
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class DropGeneratedExpression(Change):
    """Let code write a column that was computed."""

    kind: ClassVar[str] = "drop-generated-expression"
    column: str

    def words(self) -> Sequence[str]:
        return ["write", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)))


class NothingStored(Refused):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is virtual',
            why="no row holds its value, so there is none that could stay",
            fix="add a plain column with evolve plan add-generated-column, under another name, and drop this one",
        )


def plan(change: DropGeneratedExpression, facts: Facts) -> Plan:
    """Three phases: the expression goes, code begins to write, the trigger goes.

    Raises:
        Misuse: the column is unknown or not generated.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    refuse_family(target)
    column, generation = generated_column(target, change.column)
    if column.virtual:
        raise NothingStored(target, change.column)
    refuse_later_triggers(target, trigger_name(change.id))
    name = f"{change.table.plain}.{change.column}"
    function, trigger = function_name(change.id), trigger_name(change.id)
    side = sync.Side(
        column.name,
        column.type,
        sync.is_exact(column.type, collation=column.collation, enum=column.enum),
    )
    made = sync.create_function(
        sync.still_computed_function(function, change.table, side, generation, expression(generation).columns)
    )
    armed = TriggerArmed(change.table, trigger)
    expand = Phase(
        "expand",
        f"{name} is a plain column, and a trigger computes it for code that does not write it",
        (
            Part(
                f"{name} is a plain column",
                (
                    sync.create_schema(),
                    made,
                    Statement(
                        f"ALTER TABLE {change.table}\n    ALTER COLUMN {quote(change.column)} DROP EXPRESSION",
                        LockMode.ACCESS_EXCLUSIVE,
                        "catalog only: each row keeps its value, and the trigger of the same transaction computes it "
                        "from here on",
                        allow=("drop-generated-expression",),
                    ),
                    *sync.create_trigger(change.table, trigger, function),
                ),
                (
                    sync.drop_trigger(change.table, trigger),
                    *generate_again(target, column, generation),
                    sync.drop_function(function),
                ),
            ),
        ),
        instructions=("Code that runs now goes on as it is; code that writes the column may start.",),
        go_back="downgrade the expand revision: the column is dropped and computed anew in every row; what was made "
        "from it, such as a view, must be dropped before",
        undo_loses=f"what new code wrote to {name}",
    )
    switch = Phase(
        "switch",
        f"all code gives {name} a value",
        gates=(armed,),
        instructions=(
            f"Deploy code that writes {name}: in every INSERT, and wherever it writes what the column was made of.",
        ),
        go_back="deploy the old code again; the trigger still computes the column for it",
    )
    contract = Phase(
        "contract",
        f"nothing computes {name} any more",
        (
            Part(
                f"{name} needs no trigger",
                (sync.drop_trigger(change.table, trigger), sync.drop_function(function)),
                (made, *sync.create_trigger(change.table, trigger, function)),
            ),
        ),
        gates=(Word(OLD_CODE_GONE, f"all running code writes {name} itself"), armed),
        go_back="downgrade the contract revision: the trigger is back",
    )
    notes = (
        f"A null that new code gives {name} in an INSERT is taken for none given, until contract.",
        f"New code that leaves {name} as it is while it writes what the column was computed from gets the computed "
        "value, until contract.",
    )
    return Plan(change.id, change, (expand, switch, contract), notes, target.source)


RECIPE = Recipe(
    DropGeneratedExpression,
    "Let code write a column that was computed.",
    (COLUMN,),
    plan,
)
