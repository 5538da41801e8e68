"""Add a column that is NOT NULL: at once where every row gets the same value, else in phases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.plan import new_column, not_null, sync
from evolve.plan.change import Change, Uses, columns, columns_read, table_words
from evolve.plan.expressions import read_default, read_expression, read_type
from evolve.plan.facts import Facts
from evolve.plan.model import (
    OLD_CODE_GONE,
    BackfillDone,
    ColumnNotNull,
    NoOlderTransaction,
    Part,
    Phase,
    Plan,
    TriggerArmed,
    Word,
    function_name,
    trigger_name,
)
from evolve.plan.parameters import COLUMN, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import ColumnExists, NoKey, Target, refuse_family, refuse_later_triggers
from evolve.plan.trials import AddsWithoutRewrite, ExpressionHolds, Trial
from evolve.plan.versions import Shapes
from evolve.sql.operations import Expression
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class AddRequiredColumn(Change):
    """Add a column that holds a value in every row.

    Args:
        type: as written by the operator, e.g. "numeric(10,2)".
        up: SQL expression over the row's other columns: the value for rows that exist and for rows that old code
            writes.
        default: SQL expression that stays as the column's default for good; None leaves it without one.
    """

    kind: ClassVar[str] = "add-required-column"
    column: str
    type: str
    up: str
    default: str | None = None

    def words(self) -> Sequence[str]:
        return ["add", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)), columns_read(self.table, self.up))


def plan(change: AddRequiredColumn, facts: Facts) -> Plan:
    """The phases; with a constant value there is neither trigger nor backfill.

    Raises:
        Misuse: the column exists, or type or expression do not fit.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    refuse_family(target)
    if target.column(change.column) is not None:
        raise ColumnExists(target, change.column)
    definition = read_type(change.type)
    up = read_expression("--up", change.up, target, column=change.column)
    default = None
    if change.default is not None:
        default = read_default("--default", change.default, target, column=change.column)
    recipe = _Recipe(change, target, new_column.type_of(definition), up, default)
    if up.constant:
        phases = [recipe.expand_at_once(), recipe.switch()]
        if default is None or default.sql != up.sql:
            phases.append(recipe.contract_default())
        return Plan(recipe.id, change, tuple(phases), new_column.notes(target), target.source)
    if not target.key:
        raise NoKey(target)
    refuse_later_triggers(target, recipe.trigger)
    phases = [recipe.expand(), recipe.backfill(), recipe.validate(), recipe.switch(), recipe.contract()]
    return Plan(recipe.id, change, tuple(phases), new_column.notes(target), target.source)


class _Recipe:
    def __init__(
        self,
        change: AddRequiredColumn,
        target: Target,
        type_name: str,
        up: Expression,
        default: Expression | None,
    ) -> None:
        self.change = change
        self.target = target
        self.type = type_name
        self.up = up
        self.default = default
        self.table = target.table
        self.id = change.id
        self.trigger = trigger_name(self.id)
        self.function = function_name(self.id)
        self.no_nulls = new_column.no_nulls(self.table, change.column)
        self.armed = TriggerArmed(self.table, self.trigger)
        self.name = f"{self.table.plain}.{change.column}"

    # -- at once --------------------------------------------------------------------------------------------
    def expand_at_once(self) -> Phase:
        return Phase(
            "expand",
            f"{self.name} is there, holds {self.up.sql} in every row, and old code need not know it",
            (
                Part(
                    f"add {self.name}",
                    (
                        new_column.add_filled(
                            self.table, self.change.column, self.type, self.up.sql, not_null=True
                        ),
                    ),
                    (new_column.take_away(self.table, self.change.column),),
                ),
            ),
            instructions=("Code that runs now goes on as it is: the default serves it.",),
            go_back="downgrade the expand revision: the column goes",
            undo_loses=f"what new code wrote to {self.name}",
        )

    def contract_default(self) -> Phase:
        return Phase(
            "contract",
            f"{self.name} has {self._lasting_default}",
            (
                Part(
                    f"{self.name} has {self._lasting_default}",
                    (self._final_default(),),
                    (new_column.set_default(self.table, self.change.column, self.up.sql),),
                ),
            ),
            gates=(self._old_code_gone(),),
            go_back="downgrade the contract revision: the default is back",
        )

    # -- in phases ------------------------------------------------------------------------------------------
    def expand(self) -> Phase:
        statements = (
            sync.create_schema(),
            sync.create_function(self._function()),
            new_column.add_empty(self.table, self.change.column, self.type),
            *sync.create_trigger(self.table, self.trigger, self.function),
            not_null.refuse_nulls(
                self.table,
                (self.change.column,),
                "NOT VALID reads no row; the trigger is there already, so no writer can break it",
            ),
        )
        undo = (
            sync.drop_trigger(self.table, self.trigger),
            new_column.take_away(self.table, self.change.column),
            sync.drop_function(self.function),
        )
        return Phase(
            "expand",
            f"{self.name} is there, and a trigger fills it for code that does not know it",
            (Part(f"add {self.name}", statements, undo),),
            instructions=(
                f"Code that runs now goes on as it is; code that writes {self.change.column} may start.",
            ),
            go_back="downgrade the expand revision: trigger, function and column go",
            undo_loses=f"what new code wrote to {self.name}",
        )

    def backfill(self) -> Phase:
        return Phase(
            "backfill",
            f"{self.name} is null in no row",
            gates=(self.armed, NoOlderTransaction(self.table, self.trigger)),
            backfills=(self.spec,),
            instructions=(f"Run: evolve backfill run {self.id}",),
            go_back="stop the backfill; rows filled so far do no harm",
        )

    def validate(self) -> Phase:
        return Phase(
            "validate",
            f"{self.name} is NOT NULL",
            (
                Part(
                    f"{self.name} is NOT NULL",
                    (
                        *not_null.prove(self.table, (self.change.column,)),
                        *not_null.set_not_null(self.table, (self.change.column,)),
                    ),
                    tuple(not_null.drop_not_null(self.table, (self.change.column,))),
                    fills=(self.spec,),
                ),
            ),
            gates=(self.armed, BackfillDone(self.id), self.no_nulls),
            go_back="downgrade the validate revision: the check stands again, NOT NULL goes",
        )

    def switch(self) -> Phase:
        armed = () if self.up.constant else (self.armed,)
        return Phase(
            "switch",
            f"all code gives {self.name} a value",
            gates=(*armed, ColumnNotNull(self.table, self.change.column)),
            instructions=(f"Deploy code that reads {self.name} and gives it a value in every INSERT.",),
            go_back="deploy the old code again",
        )

    def contract(self) -> Phase:
        statements = [sync.drop_trigger(self.table, self.trigger), sync.drop_function(self.function)]
        undo = [
            sync.create_function(self._function()),
            *sync.create_trigger(self.table, self.trigger, self.function),
        ]
        if self.default is not None:
            statements.append(self._final_default())
            undo.insert(0, new_column.set_default(self.table, self.change.column, None))
        return Phase(
            "contract",
            f"the trigger is gone; {self.name} has {self._lasting_default}",
            (Part(f"{self.name} needs no trigger", tuple(statements), tuple(undo)),),
            gates=(self._old_code_gone(), ColumnNotNull(self.table, self.change.column)),
            go_back="downgrade the contract revision: the trigger is back",
        )

    # -- parts ----------------------------------------------------------------------------------------------
    @property
    def spec(self) -> Spec:
        return new_column.fill_nulls(self.id, self.target, self.change.column, self.up.sql)

    @property
    def _lasting_default(self) -> str:
        return "no default" if self.default is None else f"the default {self.default.sql}"

    def _old_code_gone(self) -> Word:
        return Word(OLD_CODE_GONE, f"all running code gives {self.name} a value in every INSERT")

    def _final_default(self) -> Statement:
        value = None if self.default is None else self.default.sql
        return new_column.set_default(self.table, self.change.column, value)

    def _function(self) -> str:
        return sync.one_way_function(
            self.function, self.table, self.change.column, self.up.sql, constant=self.up.constant
        )


def trials(change: AddRequiredColumn, _facts: Facts) -> Iterator[Trial]:
    bare = read_type(change.type).type
    yield AddsWithoutRewrite(bare, "add the column with the domain's base type and a NOT VALID check instead")
    yield ExpressionHolds(change.table, "--up", change.up, bare)
    if change.default is not None:
        yield ExpressionHolds(change.table, "--default", change.default, bare, rows="false")


def shapes(change: AddRequiredColumn, facts: Facts) -> Shapes:
    return Shapes.within(facts.table(change.table), also=(change.column,))


RECIPE = Recipe(
    AddRequiredColumn,
    "Add a column that holds a value in every row.",
    (
        COLUMN,
        Parameter("type", "type", "Its type."),
        option(
            "up",
            "expression",
            "Value for rows that exist and for rows that old code writes: an expression over the row's columns.",
            required=True,
        ),
        option("default", "expression", "Default that the column keeps for good."),
    ),
    plan,
    trials,
    shapes,
)
