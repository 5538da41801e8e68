"""Add a column that is NOT NULL: at once where every row gets the same value, else in phases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.plan import sync
from evolve.plan.carry import validate_constraint
from evolve.plan.change import Change, Uses, columns, columns_read, table_words
from evolve.plan.expressions import read_expression, read_type
from evolve.plan.facts import Facts
from evolve.plan.model import (
    OLD_CODE_GONE,
    BackfillDone,
    ColumnNotNull,
    NoOlderTransaction,
    NoRows,
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
from evolve.sql.locks import LockMode
from evolve.sql.names import quote, shorten
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
        default = read_expression("--default", change.default, target, column=change.column)
    type_name = definition.type
    if definition.collation is not None:
        type_name = f"{definition.type} COLLATE {definition.collation}"
    recipe = _Recipe(change, target, type_name, up, default)
    if up.constant:
        phases = [recipe.expand_at_once(), recipe.switch()]
        if default is None or default.sql != up.sql:
            phases.append(recipe.contract_default())
        return Plan(recipe.id, change, tuple(phases), recipe.notes(), target.source)
    if not target.key:
        raise NoKey(target)
    refuse_later_triggers(target, recipe.trigger)
    phases = [recipe.expand(), recipe.backfill(), recipe.validate(), recipe.switch(), recipe.contract()]
    return Plan(recipe.id, change, tuple(phases), recipe.notes(), target.source)


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
        self.check = shorten("evolve", self.table.name, change.column, "not_null")
        self.column = quote(change.column)
        self.no_nulls = NoRows(self.table, f"{self.column} IS NULL", f"{change.column} is null")
        self.armed = TriggerArmed(self.table, self.trigger)
        self.name = f"{self.table.plain}.{change.column}"
        self.alter = f"ALTER TABLE {self.table}\n    "

    # -- at once --------------------------------------------------------------------------------------------
    def expand_at_once(self) -> Phase:
        return Phase(
            "expand",
            f"{self.name} is there, holds {self.up.sql} in every row, and old code need not know it",
            (
                Part(
                    f"add {self.name}",
                    (
                        Statement(
                            f"{self.alter}ADD COLUMN {self.column} {self.type} NOT NULL DEFAULT {self.up.sql}",
                            LockMode.ACCESS_EXCLUSIVE,
                            "the default is a constant, so the value is kept once in the catalog and no row "
                            "is written",
                        ),
                    ),
                    (self._drop_column(),),
                ),
            ),
            instructions=("Code that runs now goes on as it is: the default serves it.",),
            go_back="downgrade the expand revision: the column goes",
            undo_loses=f"what new code wrote to {self.name}",
        )

    def contract_default(self) -> Phase:
        back = f"{self.alter}ALTER COLUMN {self.column} SET DEFAULT {self.up.sql}"
        return Phase(
            "contract",
            f"{self.name} has {self._lasting_default}",
            (
                Part(
                    f"{self.name} has {self._lasting_default}",
                    (self._final_default(),),
                    (Statement(back, LockMode.ACCESS_EXCLUSIVE, "catalog only"),),
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
            Statement(
                f"{self.alter}ADD COLUMN {self.column} {self.type}",
                LockMode.ACCESS_EXCLUSIVE,
                "a nullable column without a default changes only the catalog; no row is read or written",
            ),
            *sync.create_trigger(self.table, self.trigger, self.function),
            self._add_check(
                "NOT VALID reads no row; the trigger is there already, so no writer can break it"
            ),
        )
        undo = (
            sync.drop_trigger(self.table, self.trigger),
            self._drop_column(),
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
        statements = (
            validate_constraint(self.table, self.check),
            Statement(
                f"{self.alter}ALTER COLUMN {self.column} SET NOT NULL",
                LockMode.ACCESS_EXCLUSIVE,
                "the validated check proves it, so no row is read",
            ),
            Statement(
                f"{self.alter}DROP CONSTRAINT {quote(self.check)}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; a statement of its own, since together with SET NOT NULL the table would be scanned",
            ),
        )
        undo = (
            self._add_check("NOT VALID reads no row"),
            Statement(
                f"{self.alter}ALTER COLUMN {self.column} DROP NOT NULL",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only",
            ),
        )
        return Phase(
            "validate",
            f"{self.name} is NOT NULL",
            (Part(f"{self.name} is NOT NULL", statements, undo, fills=(self.spec,)),),
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
            undo.append(
                Statement(
                    f"{self.alter}ALTER COLUMN {self.column} DROP DEFAULT",
                    LockMode.ACCESS_EXCLUSIVE,
                    "catalog only",
                )
            )
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
        has_key = any(constraint.kind == "primary key" for constraint in self.target.constraints)
        return Spec(
            self.id,
            self.table,
            ((self.change.column, self.up.sql),),
            where=self.no_nulls.predicate,
            key=None if has_key else self.target.key,
            mismatch=self.no_nulls.predicate,
        )

    @property
    def _lasting_default(self) -> str:
        return "no default" if self.default is None else f"the default {self.default.sql}"

    def _old_code_gone(self) -> Word:
        return Word(OLD_CODE_GONE, f"all running code gives {self.name} a value in every INSERT")

    def _final_default(self) -> Statement:
        action = "DROP DEFAULT" if self.default is None else f"SET DEFAULT {self.default.sql}"
        return Statement(
            f"{self.alter}ALTER COLUMN {self.column} {action}", LockMode.ACCESS_EXCLUSIVE, "catalog only"
        )

    def _drop_column(self) -> Statement:
        return Statement(f"{self.alter}DROP COLUMN {self.column}", LockMode.ACCESS_EXCLUSIVE, "catalog only")

    def _function(self) -> str:
        return sync.one_way_function(
            self.function, self.table, self.change.column, self.up.sql, constant=self.up.constant
        )

    def _add_check(self, why: str) -> Statement:
        return Statement(
            f"{self.alter}ADD CONSTRAINT {quote(self.check)} CHECK ({self.column} IS NOT NULL) NOT VALID",
            LockMode.ACCESS_EXCLUSIVE,
            why,
        )

    def notes(self) -> tuple[str, ...]:
        notes = [
            'Clients that prepared SELECT * or RETURNING * on the table fail once with "cached plan must not '
            'change result type" after expand; recycle their connections then. SQLAlchemy names its columns '
            "and is not concerned.",
        ]
        if self.target.published:
            notes.append(
                f"The table is published by {', '.join(self.target.published)}: add the column on every "
                "subscriber before expand."
            )
        return tuple(notes)


def trials(change: AddRequiredColumn, _facts: Facts) -> Iterator[Trial]:
    bare = read_type(change.type).type
    yield AddsWithoutRewrite(bare, "add the column with the domain's base type and a NOT VALID check instead")
    yield ExpressionHolds(change.table, "--up", change.up, bare)
    if change.default is not None:
        yield ExpressionHolds(change.table, "--default", change.default, bare, rows="false")


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
)
