"""Make a column NOT NULL: a check that nobody can break, the old rows filled, then the constraint itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.errors import Misuse, Refused
from evolve.plan import sync
from evolve.plan.carry import validate_constraint
from evolve.plan.change import Change, Uses, columns, columns_read, table_words
from evolve.plan.expressions import read_expression
from evolve.plan.facts import Facts
from evolve.plan.model import (
    OLD_CODE_GONE,
    BackfillDone,
    ColumnNotNull,
    Gate,
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
from evolve.plan.parameters import COLUMN, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import (
    NoKey,
    Target,
    known_column,
    refuse_family,
    refuse_later_triggers,
)
from evolve.plan.trials import ExpressionHolds, NoSuchRow, Trial
from evolve.sql.locks import LockMode
from evolve.sql.names import quote, shorten
from evolve.sql.operations import Expression
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class SetNotNull(Change):
    """Make a column NOT NULL.

    Args:
        fill: SQL expression over the row's columns that replaces a null, in rows that exist and in rows that old code
            still writes; None where no null is left and no code writes one.
    """

    kind: ClassVar[str] = "set-not-null"
    column: str
    fill: str | None = None

    def words(self) -> Sequence[str]:
        return ["set_not_null", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)), columns_read(self.table, self.fill))


class AlreadyNotNull(Misuse):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is NOT NULL already', fix="there is nothing to do"
        )


class NullsLeft(Refused):
    def __init__(self, change: SetNotNull) -> None:
        super().__init__(
            f'column "{change.column}" of "{change.table.plain}" holds nulls',
            why="without --fill nothing replaces them, and every later update of such a row would fail",
            fix=f"say what to put there: evolve plan set-not-null {change.table}.{change.column} --fill \"''\"",
        )


class GeneratedColumn(Refused):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is generated',
            why="nothing can fill it but its own expression",
            fix="plan it without --fill once the expression gives no null",
        )


def plan(change: SetNotNull, facts: Facts) -> Plan:
    """The phases; without a fill there is no trigger, no backfill and nothing to contract.

    Raises:
        Misuse: the column is unknown or NOT NULL already, or the expression does not fit the table.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    refuse_family(target)
    column = known_column(target, change.column)
    if column.not_null:
        raise AlreadyNotNull(target, change.column)
    recipe = _Recipe(change, target)
    if change.fill is None:
        phases: tuple[Phase, ...] = (recipe.expand_bare(), recipe.validate((recipe.no_nulls,)))
        return Plan(recipe.id, change, phases, facts=target.source)
    if column.generated:
        raise GeneratedColumn(target, change.column)
    if not target.key:
        raise NoKey(target)
    refuse_later_triggers(target, recipe.trigger)
    fill = read_expression("--fill", change.fill, target, column=change.column)
    phases = (
        recipe.expand(fill),
        recipe.backfill(fill),
        recipe.validate((recipe.armed, BackfillDone(recipe.id), recipe.no_nulls), fill),
        recipe.switch(),
        recipe.contract(fill),
    )
    return Plan(recipe.id, change, phases, facts=target.source)


class _Recipe:
    def __init__(self, change: SetNotNull, target: Target) -> None:
        self.change = change
        self.target = target
        self.table = target.table
        self.id = change.id
        self.trigger = trigger_name(self.id)
        self.function = function_name(self.id)
        self.check = shorten("evolve", self.table.name, change.column, "not_null")
        self.column = quote(change.column)
        self.no_nulls = NoRows(self.table, f"{self.column} IS NULL", f"{change.column} is null")
        self.armed = TriggerArmed(self.table, self.trigger)
        self.name = f"{self.table.plain}.{change.column}"

    # -- phases ---------------------------------------------------------------------------------------------
    def expand_bare(self) -> Phase:
        return Phase(
            "expand",
            f"no write can put a null into {self.name} any more",
            (
                Part(
                    f"no new null in {self.name}",
                    (self._add_check("no null is left, and no code writes one"),),
                    (self._drop_check("catalog only"),),
                    (self.no_nulls,),
                ),
            ),
            instructions=(
                f"First deploy code that never writes a null to {self.name}: from this revision on such a write "
                "fails.",
            ),
            go_back="downgrade the expand revision: the check goes",
        )

    def expand(self, fill: Expression) -> Phase:
        statements = (
            sync.create_schema(),
            sync.create_function(self._function(fill)),
            self._add_check(
                "the trigger comes in the same transaction, so no writer meets the check without it"
            ),
            *sync.create_trigger(self.table, self.trigger, self.function),
        )
        undo = (
            self._drop_check("catalog only"),
            sync.drop_trigger(self.table, self.trigger),
            sync.drop_function(self.function),
        )
        return Phase(
            "expand",
            f"no write can put a null into {self.name} any more: a trigger replaces it",
            (Part(f"no new null in {self.name}", statements, undo),),
            instructions=("Code that runs now goes on as it is.",),
            go_back="downgrade the expand revision: check, trigger and function go",
        )

    def backfill(self, fill: Expression) -> Phase:
        return Phase(
            "backfill",
            f"{self.name} is null in no row",
            gates=(self.armed, NoOlderTransaction(self.table, self.trigger)),
            backfills=(self.spec(fill),),
            instructions=(f"Run: evolve backfill run {self.id}",),
            go_back="stop the backfill; `evolve backfill undo` puts the nulls back",
        )

    def validate(self, gates: tuple[Gate, ...], fill: Expression | None = None) -> Phase:
        fills = () if fill is None else (self.spec(fill),)
        conditions = (self.no_nulls,) if fill is None else ()
        statements = (
            validate_constraint(self.table, self.check),
            Statement(
                f"ALTER TABLE {self.table}\n    ALTER COLUMN {self.column} SET NOT NULL",
                LockMode.ACCESS_EXCLUSIVE,
                "the validated check proves it, so no row is read",
            ),
            self._drop_check(
                "catalog only; a statement of its own, since together with SET NOT NULL the table would be scanned"
            ),
        )
        undo = (
            self._add_check("NOT VALID reads no row"),
            Statement(
                f"ALTER TABLE {self.table}\n    ALTER COLUMN {self.column} DROP NOT NULL",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only",
            ),
        )
        return Phase(
            "validate",
            f"{self.name} is NOT NULL",
            (Part(f"{self.name} is NOT NULL", statements, undo, conditions, fills),),
            gates=gates,
            go_back="downgrade the validate revision: the check stands again, NOT NULL goes",
        )

    def switch(self) -> Phase:
        return Phase(
            "switch",
            f"all code gives {self.name} a value",
            gates=(self.armed, ColumnNotNull(self.table, self.change.column)),
            instructions=(f"Deploy code that never writes a null to {self.name}.",),
            go_back="deploy the old code again; the trigger still fills its nulls",
        )

    def contract(self, fill: Expression) -> Phase:
        return Phase(
            "contract",
            "the trigger is gone; a null is refused as by any NOT NULL column",
            (
                Part(
                    f"{self.name} needs no trigger",
                    (
                        sync.drop_trigger(self.table, self.trigger),
                        sync.drop_function(self.function),
                    ),
                    (
                        sync.create_function(self._function(fill)),
                        *sync.create_trigger(self.table, self.trigger, self.function),
                    ),
                ),
            ),
            gates=(
                Word(OLD_CODE_GONE, f"no running code writes a null to {self.name}"),
                ColumnNotNull(self.table, self.change.column),
            ),
            go_back="downgrade the contract revision: the trigger is back",
        )

    def spec(self, fill: Expression) -> Spec:
        return Spec(
            self.id,
            self.table,
            ((self.change.column, fill.sql),),
            where=self.no_nulls.predicate,
            key=self.target.other_key,
            mismatch=self.no_nulls.predicate,
        )

    # -- parts ----------------------------------------------------------------------------------------------
    def _function(self, fill: Expression) -> str:
        return sync.one_way_function(
            self.function, self.table, self.change.column, fill.sql, constant=fill.constant
        )

    def _add_check(self, why: str) -> Statement:
        return Statement(
            f"ALTER TABLE {self.table}\n    ADD CONSTRAINT {quote(self.check)} "
            f"CHECK ({self.column} IS NOT NULL) NOT VALID",
            LockMode.ACCESS_EXCLUSIVE,
            f"NOT VALID reads no row; {why}" if "NOT VALID" not in why else why,
        )

    def _drop_check(self, why: str) -> Statement:
        return Statement(
            f"ALTER TABLE {self.table}\n    DROP CONSTRAINT {quote(self.check)}",
            LockMode.ACCESS_EXCLUSIVE,
            why,
        )


def trials(change: SetNotNull, facts: Facts) -> Iterator[Trial]:
    column = known_column(facts.table(change.table), change.column)
    nulls = f"{quote(change.column)} IS NULL"
    if change.fill is None:
        yield NoSuchRow(change.table, nulls, f"{change.column} is null", refusal=lambda *_: NullsLeft(change))
    else:
        yield ExpressionHolds(change.table, "--fill", change.fill, column.type, rows=nulls)


RECIPE = Recipe(
    SetNotNull,
    "Make a column NOT NULL.",
    (
        COLUMN,
        option(
            "fill",
            "expression",
            "Expression over the row's columns that replaces a null, for rows that exist and for old code's writes.",
        ),
    ),
    plan,
    trials,
)
