"""Add a column that old code need not know: empty, with a value that all rows share, or with one for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.errors import Misuse
from evolve.plan import new_column, not_null
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.expressions import read_default, read_type
from evolve.plan.facts import Facts
from evolve.plan.model import BackfillDone, ColumnNotNull, Part, Phase, Plan
from evolve.plan.parameters import COLUMN, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import ColumnExists, NoKey, Target, refuse_family, refuse_members
from evolve.plan.trials import AddsWithoutRewrite, ExpressionHolds, Trial
from evolve.plan.versions import Shapes
from evolve.sql.operations import Expression
from evolve.sql.statements import Statement
from evolve.sql.volatility import volatile_functions


@dataclass(frozen=True, slots=True)
class AddColumn(Change):
    """Add a column.

    Args:
        type: as written by the operator, e.g. "numeric(10,2)".
        default: SQL expression that it keeps as its default.
        not_null: no row may hold a null.
    """

    kind: ClassVar[str] = "add-column"
    column: str
    type: str
    default: str | None = None
    not_null: bool = False

    def words(self) -> Sequence[str]:
        return ["add", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)))


class NothingToHold(Misuse):
    def __init__(self, change: AddColumn) -> None:
        super().__init__(
            "--not-null without --default: rows that exist would have no value",
            why="neither would rows that old code writes, and its every INSERT would fail",
            fix="give --default; or a value from the row's columns, without a default for good: evolve plan "
            f'add-required-column {change.table}.{change.column} "{change.type}" --up …',
        )


def plan(change: AddColumn, facts: Facts) -> Plan:
    """The phases; there is a backfill only where each row gets a value of its own.

    Raises:
        Misuse: the column exists, or type or default do not fit.
        Refused: the table is one of a family, or has no key to backfill by.
    """
    target = facts.table(change.table)
    refuse_members(target)
    if target.column(change.column) is not None:
        raise ColumnExists(target, change.column)
    type_name = new_column.type_of(read_type(change.type))
    default = None
    if change.default is not None:
        default = read_default("--default", change.default, target, column=change.column)
    elif change.not_null:
        raise NothingToHold(change)
    recipe = _Recipe(change, target, type_name)
    if default is None:
        phases = [recipe.expand_empty(), recipe.switch()]
    elif not volatile_functions(default):
        phases = [recipe.expand_filled(default), recipe.switch()]
    else:
        refuse_family(target)
        if not target.key:
            raise NoKey(target)
        phases = [recipe.expand(default), recipe.backfill(default), recipe.validate(default), recipe.switch()]
    return Plan(change.id, change, tuple(phases), recipe.notes(), target.source)


class _Recipe:
    def __init__(self, change: AddColumn, target: Target, type_name: str) -> None:
        self.change = change
        self.target = target
        self.type = type_name
        self.table = target.table
        self.name = f"{self.table.plain}.{change.column}"
        self.no_nulls = new_column.no_nulls(self.table, change.column)

    # -- at once --------------------------------------------------------------------------------------------
    def expand_empty(self) -> Phase:
        added = new_column.add_empty(self.table, self.change.column, self.type)
        return self._expand(f"{self.name} is there, and null in every row", (added,))

    def expand_filled(self, default: Expression) -> Phase:
        added = new_column.add_filled(
            self.table,
            self.change.column,
            self.type,
            default.sql,
            not_null=self.change.not_null,
            constant=default.constant,
        )
        return self._expand(f"{self.name} is there, and holds {default.sql} in every row", (added,))

    # -- each row its own -----------------------------------------------------------------------------------
    def expand(self, default: Expression) -> Phase:
        statements = (
            new_column.add_empty(self.table, self.change.column, self.type),
            new_column.set_default(
                self.table,
                self.change.column,
                default.sql,
                "catalog only; set apart from ADD COLUMN, which would compute it for every row and rewrite the table",
            ),
        )
        return self._expand(f"{self.name} is there, and rows that are written get {default.sql}", statements)

    def backfill(self, default: Expression) -> Phase:
        return Phase(
            "backfill",
            f"{self.name} is null in no row",
            backfills=(self.spec(default),),
            instructions=(
                f"Run: evolve backfill run {self.change.id}",
                *(
                    ()
                    if self.change.not_null
                    else (f"Code that writes nulls to {self.name} on purpose waits for the switch.",)
                ),
            ),
            go_back="stop the backfill; rows filled so far do no harm",
        )

    def validate(self, default: Expression) -> Phase:
        table, names, fills = self.table, (self.change.column,), (self.spec(default),)
        parts: tuple[Part, ...]
        if self.change.not_null:
            # No sooner: the check is asked of every row that is updated, also one that has no value yet.
            check = not_null.refuse_nulls(table, names, "NOT VALID reads no row; each row has a value by now")
            parts = (
                Part(
                    f"no new null in {self.name}",
                    (check,),
                    tuple(not_null.accept_nulls(table, names)),
                    fills=fills,
                ),
                Part(
                    f"{self.name} is NOT NULL",
                    (*not_null.prove(table, names), *not_null.set_not_null(table, names)),
                    tuple(not_null.drop_not_null(table, names)),
                    fills=fills,
                ),
            )
        else:
            # A new database has seed rows, which only a gate fills.
            parts = (Part(f"every row has {self.name}", (), fills=fills),)
        return Phase(
            "validate",
            f"{self.name} is NOT NULL"
            if self.change.not_null
            else f"every row that was there has {self.name}",
            parts,
            gates=(BackfillDone(self.change.id), self.no_nulls),
            go_back="downgrade the validate revisions" + (": NOT NULL goes" if self.change.not_null else ""),
        )

    # -- both -----------------------------------------------------------------------------------------------
    def switch(self) -> Phase:
        return Phase(
            "switch",
            f"code uses {self.name}",
            gates=(ColumnNotNull(self.table, self.change.column),) if self.change.not_null else (),
            instructions=(
                f"Deploy code that maps {self.name}; no earlier, since it names it in every SELECT.",
            ),
            go_back="deploy the old code again",
        )

    def spec(self, default: Expression) -> Spec:
        return new_column.fill_nulls(self.change.id, self.target, self.change.column, default.sql)

    def _expand(self, summary: str, statements: tuple[Statement, ...]) -> Phase:
        return Phase(
            "expand",
            summary,
            (Part(f"add {self.name}", statements, (new_column.take_away(self.table, self.change.column),)),),
            instructions=("Code that runs now goes on as it is.",),
            go_back="downgrade the expand revision: the column goes",
            undo_loses=f"what new code wrote to {self.name}",
        )

    def notes(self) -> tuple[str, ...]:
        notes = list(new_column.notes(self.target))
        if self.target.partitioned:
            notes.append("The statement locks every partition at the same time, each for an instant.")
        return tuple(notes)


def trials(change: AddColumn, _facts: Facts) -> Iterator[Trial]:
    bare = read_type(change.type).type
    yield AddsWithoutRewrite(bare, "add the column with the domain's base type and a NOT VALID check instead")
    if change.default is not None:
        yield ExpressionHolds(change.table, "--default", change.default, bare, rows="false")


def shapes(change: AddColumn, facts: Facts) -> Shapes:
    return Shapes.within(facts.table(change.table), also=(change.column,))


RECIPE = Recipe(
    AddColumn,
    "Add a column that old code need not know.",
    (
        COLUMN,
        Parameter("type", "type", "Its type."),
        option("default", "expression", "Default that it keeps; rows that exist get it too."),
        option("not_null", "flag", "No row may hold a null there."),
    ),
    plan,
    trials,
    shapes,
)
