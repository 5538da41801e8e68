"""Add a check: for new rows at once, for the rows that are there by a validation that blocks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.counted import rows_of
from evolve.errors import Refused
from evolve.plan import sync
from evolve.plan.carry import validate_constraint
from evolve.plan.change import Change, Uses, columns, columns_read, table_words
from evolve.plan.constraint import (
    PartOfFamily,
    chosen_name,
    drop_constraint,
    refuse_constraint,
    refuse_relatives,
)
from evolve.plan.expressions import BadExpression, read_expression
from evolve.plan.facts import Facts
from evolve.plan.model import (
    OLD_CODE_GONE,
    BackfillDone,
    Gate,
    NoOlderTransaction,
    NoRows,
    Part,
    Phase,
    Plan,
    TriggerArmed,
    Validated,
    Word,
    function_name,
    trigger_name,
)
from evolve.plan.parameters import TABLE, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import NoKey, Target, known_column, refuse_later_triggers
from evolve.plan.trials import ExpressionHolds, NoSuchRow, Trial
from evolve.sql.locks import LockMode
from evolve.sql.names import quote
from evolve.sql.operations import Expression
from evolve.sql.parse import ExpressionNotRead, expression
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class AddCheck(Change):
    """Let a table accept only rows for which an expression is not false.

    Args:
        check: SQL expression over the row's columns.
        fill: (column, SQL expression over the row as it was written) that mend a row which breaks the check, in rows
            that exist and in rows that old code still writes.
        name: of the constraint; None: the one that PostgreSQL would give.
    """

    kind: ClassVar[str] = "add-check"
    check: str
    fill: tuple[tuple[str, str], ...] = ()
    name: str | None = None

    def words(self) -> Sequence[str]:
        what = [self.name] if self.name is not None else sorted(_columns(self.check))
        return ["add_check", *table_words(self.table), *what]

    def uses(self) -> Uses:
        filled = columns(self.table, (column for column, _ in self.fill))
        return Uses(filled, columns_read(self.table, self.check, *(value for _, value in self.fill)))


def _columns(check: str) -> frozenset[str]:
    try:
        return frozenset(expression(check).columns)
    except ExpressionNotRead:
        return frozenset()  # the plan refuses it, and says why


class BreaksCheck(Refused):
    def __init__(self, change: AddCheck, count: int, examples: tuple[str, ...]) -> None:
        shown = f", among them {'; '.join(examples)}" if examples else ""
        super().__init__(
            f"{rows_of(change.table.plain, count, 'breaks', 'break')} {change.check}{shown}",
            why="from the moment the check is there every update of such a row fails, whatever it changes",
            fix="mend them first, or let a trigger and a backfill do it: --fill COLUMN=SQL",
        )


class FillBreaksCheck(Refused):
    def __init__(self, change: AddCheck, count: int, examples: tuple[str, ...]) -> None:
        shown = f", among them {'; '.join(examples)}" if examples else ""
        super().__init__(
            f"{rows_of(change.table.plain, count)} would break {change.check} after --fill as well{shown}",
            why="the check could not be validated, and old code's writes of such rows would fail",
            fix="give --fill a value that the check accepts for every row",
        )


class GeneratedColumns(Refused):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is generated',
            why="a trigger can neither write it nor see it before it is computed, so --fill cannot mend such rows",
            fix="mend the rows first, deploy code that keeps to the check, and plan it without --fill",
        )


def plan(change: AddCheck, facts: Facts) -> Plan:
    """The phases; without a fill there is no trigger, no backfill and nothing to contract.

    Raises:
        Misuse: an expression does not fit the table, or the constraint is there already.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    refuse_relatives(target)
    check = read_expression("CHECK", change.check, target, column="")
    if not check.columns:
        raise BadExpression("CHECK", change.check, "it reads no column")
    alone = check.columns if len(set(check.columns)) == 1 else ()
    name = chosen_name(change.name, change.table.name, *alone, "check")
    refuse_constraint(target, name)
    recipe = _Recipe(change, target, name, check)
    if not change.fill:
        return Plan(
            change.id, change, (recipe.expand_bare(), recipe.validate()), _notes(target), target.source
        )
    if target.partitioned:
        raise PartOfFamily(
            target,
            "is partitioned, and a backfill with its trigger mends one table",
            "mend the rows first, deploy code that keeps to the check, and plan it without --fill",
        )
    for column in (*(column for column, _ in change.fill), *check.columns):
        if known_column(target, column).generated:
            raise GeneratedColumns(target, column)
    if not target.key:
        raise NoKey(target)
    refuse_later_triggers(target, recipe.trigger)
    phases = (recipe.expand(), recipe.backfill(), recipe.validate(), recipe.switch(), recipe.contract())
    return Plan(change.id, change, phases, _notes(target), target.source)


def _notes(target: Target) -> tuple[str, ...]:
    if target.partitioned:
        return ("Adding the check locks every partition for an instant, all in one transaction.",)
    return ()


def _read_fill(change: AddCheck, target: Target) -> tuple[tuple[str, Expression], ...]:
    return tuple((column, _read_value(target, column, value)) for column, value in change.fill)


def _read_value(target: Target, column: str, value: str) -> Expression:
    if value.strip().upper() == "NULL":  # it fills nothing, and may mend
        return expression("NULL")
    return read_expression(f"--fill {column}=", value, target, column="")


class _Recipe:
    def __init__(self, change: AddCheck, target: Target, name: str, check: Expression) -> None:
        self.change = change
        self.target = target
        self.table = target.table
        self.name = name
        self.check = check
        self.fill = tuple((column, value.sql) for column, value in _read_fill(change, target))
        self.trigger = trigger_name(change.id)
        self.function = function_name(change.id)
        self.broken = NoRows(
            self.table,
            f"({check.sql}) IS FALSE",
            f"{check.sql} is false",
            fix=None if change.fill else "mend them in small batches",
        )
        self.armed = TriggerArmed(self.table, self.trigger)
        self.shown = f"{self.table.plain}: {check.sql}"

    # -- phases ---------------------------------------------------------------------------------------------
    def expand_bare(self) -> Phase:
        return Phase(
            "expand",
            f"no write can break {self.check.sql} any more",
            (
                Part(
                    f"check {self.shown}",
                    (self._add("no row breaks it, and no code writes one that does"),),
                    (drop_constraint(self.table, self.name),),
                    (self.broken,),
                ),
            ),
            instructions=(
                f"First deploy code that keeps to {self.check.sql}: from this revision on a write that breaks it "
                "fails.",
            ),
            go_back="downgrade the expand revision: the check goes",
        )

    def expand(self) -> Phase:
        function = sync.repairing_function(self.function, self.table, self.check.sql, self.fill)
        return Phase(
            "expand",
            f"no write can break {self.check.sql} any more: a trigger mends it",
            (
                Part(
                    f"check {self.shown}",
                    (
                        sync.create_schema(),
                        sync.create_function(function),
                        # The strongest lock first: a transaction that has read the table and now writes would wait
                        # for the trigger's lock while this one waited for its.
                        self._add(
                            "the trigger comes in the same transaction, so no writer meets the check without it"
                        ),
                        *sync.create_trigger(self.table, self.trigger, self.function),
                    ),
                    (
                        drop_constraint(self.table, self.name),
                        sync.drop_trigger(self.table, self.trigger),
                        sync.drop_function(self.function),
                    ),
                ),
            ),
            instructions=("Code that runs now goes on as it is.",),
            go_back="downgrade the expand revision: check, trigger and function go",
        )

    def backfill(self) -> Phase:
        return Phase(
            "backfill",
            f"no row breaks {self.check.sql}",
            gates=(self.armed, NoOlderTransaction(self.table, self.trigger)),
            backfills=(self.spec(),),
            instructions=(f"Run: evolve backfill run {self.change.id}",),
            go_back="stop the backfill; once the check is gone, `evolve backfill undo` puts the old values back",
            undo_loses="nothing while the backfill's log is kept",
        )

    def validate(self) -> Phase:
        gates: tuple[Gate, ...] = (self.broken,)
        if self.fill:
            gates = (self.armed, BackfillDone(self.change.id), self.broken)
        return Phase(
            "validate",
            f"every row is known to keep to {self.check.sql}",
            (
                Part(
                    f"{self.shown} is proven",
                    (validate_constraint(self.table, self.name),),
                    fills=(self.spec(),) if self.fill else (),
                ),
            ),
            gates=gates,
            go_back="downgrade the validate revision: nothing changes, the proof does no harm",
        )

    def switch(self) -> Phase:
        return Phase(
            "switch",
            f"all code keeps to {self.check.sql}",
            gates=(self.armed, Validated(self.table, self.name)),
            instructions=(f"Deploy code that keeps to {self.check.sql}.",),
            go_back="deploy the old code again; the trigger still mends its rows",
        )

    def contract(self) -> Phase:
        function = sync.repairing_function(self.function, self.table, self.check.sql, self.fill)
        return Phase(
            "contract",
            "the trigger is gone; a row that breaks the check is refused",
            (
                Part(
                    f"{self.table.plain} needs no trigger",
                    (sync.drop_trigger(self.table, self.trigger), sync.drop_function(self.function)),
                    (
                        sync.create_function(function),
                        *sync.create_trigger(self.table, self.trigger, self.function),
                    ),
                ),
            ),
            gates=(
                Word(OLD_CODE_GONE, f"no running code breaks {self.check.sql}"),
                Validated(self.table, self.name),
            ),
            go_back="downgrade the contract revision: the trigger is back",
        )

    # -- parts ----------------------------------------------------------------------------------------------
    def spec(self) -> Spec:
        return Spec(
            self.change.id,
            self.table,
            self.fill,
            where=self.broken.predicate,
            key=self.target.other_key,
            mismatch=self.broken.predicate,
        )

    def _add(self, why: str) -> Statement:
        return Statement(
            f"ALTER TABLE {self.table}\n    ADD CONSTRAINT {quote(self.name)} CHECK ({self.check.sql}) NOT VALID",
            LockMode.ACCESS_EXCLUSIVE,
            f"NOT VALID reads no row; {why}",
        )


def trials(change: AddCheck, facts: Facts) -> Iterator[Trial]:
    target = facts.table(change.table)
    check = expression(change.check).sql
    broken = f"({check}) IS FALSE"
    show = tuple(dict.fromkeys((*target.key, *expression(check).columns)))
    # That the expression fails for no row, and gives a boolean.
    yield ExpressionHolds(change.table, "CHECK", check, "boolean", may_be_null=True)
    if not change.fill:
        yield NoSuchRow(change.table, broken, f"{check} is false", show, partial(BreaksCheck, change))
        return
    fill = {}
    for column, value in _read_fill(change, target):
        known = known_column(target, column)
        yield ExpressionHolds(
            change.table,
            f"--fill {column}=",
            value.sql,
            known.type,
            rows=broken,
            may_be_null=not known.not_null,
        )
        fill[column] = f"CAST({value.sql} AS {known.type})"
    row = ", ".join(f"{fill.get(name, quote(name))} AS {quote(name)}" for name in expression(check).columns)
    yield NoSuchRow(
        change.table,
        f"{broken} AND (SELECT {broken} FROM (SELECT {row}) AS evolve_filled)",  # noqa: S608 - the operator's own
        f"--fill does not mend {check}",
        show,
        partial(FillBreaksCheck, change),
    )


RECIPE = Recipe(
    AddCheck,
    "Let a table accept only rows that keep to a rule.",
    (
        TABLE,
        Parameter("check", "expression", "What must not be false of a row.", metavar="CHECK"),
        option(
            "fill",
            "pairs",
            "Value for a column of a row that breaks the check, for rows that exist and for old code's writes.",
            metavar="COLUMN=SQL",
        ),
        option("name", "name", "Name of the constraint."),
    ),
    plan,
    trials,
)
