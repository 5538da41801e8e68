"""Drop a column: first nobody has to write it, then nobody sees it, and at last it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evolve.errors import Misuse, Refused
from evolve.plan import not_null, sync
from evolve.plan.change import Change, Uses, columns, columns_read, table_words
from evolve.plan.defaults import refuse_equal
from evolve.plan.expressions import read_default, read_expression
from evolve.plan.facts import Facts
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    Gate,
    Part,
    Phase,
    Plan,
    TriggerArmed,
    Word,
    function_name,
    quarantine_name,
    trigger_name,
)
from evolve.plan.parameters import COLUMN, option
from evolve.plan.published import needs_kept
from evolve.plan.put_back import hang_again, point_again, type_of
from evolve.plan.recipe import Recipe
from evolve.plan.target import (
    DependentKind,
    InTheWay,
    Target,
    TargetColumn,
    known_column,
    refuse_family,
    refuse_later_triggers,
)
from evolve.plan.trials import ExpressionHolds, Trial
from evolve.plan.versions import Shapes
from evolve.sql.locks import LockMode
from evolve.sql.names import quote
from evolve.sql.operations import Expression
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class DropColumn(Change):
    """Drop a column.

    Args:
        default: SQL expression that rows of new code hold in it until it is dropped.
        down: SQL expression over the row's other columns: what old code reads in rows that new code writes.
    """

    kind: ClassVar[str] = "drop-column"
    column: str
    default: str | None = None
    down: str | None = None

    def words(self) -> Sequence[str]:
        return ["drop", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)), columns_read(self.table, self.down))


class TwoFillings(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "--default and --down are both given", fix="give one of them: either is what old code will read"
        )


class HasDefault(Misuse):
    def __init__(self, target: Target, column: TargetColumn) -> None:
        super().__init__(
            f'--down would never be asked: "{target.table.plain}.{column.name}" has a default already',
            why=f"rows of new code hold {column.default or 'the next number'} in it",
            fix="leave --down out; or drop that default first: evolve plan drop-default",
        )


class OnlyColumn(Refused):
    def __init__(self, target: Target) -> None:
        super().__init__(
            f'table "{target.table.plain}" has no other column',
            why="new code could write no row",
            fix="drop the table: evolve plan drop-table",
        )


_DEPENDENTS: dict[DependentKind, tuple[str, str]] = {
    "view": (
        "the view goes on reading it, and blocks its removal",
        "drop the view, or replace it by one without the column, in a revision before",
    ),
    "generated column": (
        "it is computed from the column, and blocks its removal",
        "drop the generated column first: evolve plan drop-column; or keep its values: "
        "evolve plan drop-generated-expression",
    ),
    "partition key": ("the key of a partitioned table cannot be dropped", "keep the column"),
    "publication": (
        "subscribers would stop receiving the value, and the column list or filter blocks its removal",
        "take the column out of the publication's column list or filter first",
    ),
    "policy": (
        "the policy goes on checking it, and blocks its removal",
        "drop the policy, or create it without the column, in a revision of its own",
    ),
    "trigger": (
        "the trigger goes on watching it, and blocks its removal",
        "drop the trigger, or make it fire on every update",
    ),
    "trigger function": (
        'once the column is out of sight every write would fail with: record "new" has no field',
        "let the function do without the column (or drop the trigger) in a revision before",
    ),
    "function": (
        "the function goes on reading it, and blocks its removal",
        "replace the function in a revision before",
    ),
    "inbound foreign key": (
        "other tables point to it, and new code could insert no row that they can point to",
        "drop those foreign keys first: evolve plan drop-constraint",
    ),
    "sequence": (
        "the sequence is owned by the column and would be dropped with it, whoever else uses it",
        "give it up in a revision before: ALTER SEQUENCE … OWNED BY NONE",
    ),
    "other": (
        "it goes on using the column, and blocks its removal",
        "remove that use in a revision before",
    ),
}


def plan(change: DropColumn, facts: Facts) -> Plan:
    """The phases; expand changes nothing where a row without the column can be written already.

    Raises:
        Misuse: the column is unknown, or an expression does not fit.
        Refused: something depends on the column, or the table is one of a family.
    """
    target = facts.table(change.table)
    refuse_family(target)
    column = known_column(target, change.column)
    if len(target.columns) == 1:
        raise OnlyColumn(target)
    _refuse_dependents(target, column)
    if change.default is not None and change.down is not None:
        raise TwoFillings
    default = down = None
    if change.default is not None:
        default = read_default("--default", change.default, target, column=column.name)
    if change.down is not None:
        if column.default is not None or column.identity or column.generated:
            raise HasDefault(target, column)
        down = read_expression("--down", change.down, target, column=column.name)
        refuse_later_triggers(target, trigger_name(change.id))
    given = default or down
    if given.constant if given else column.default is not None and column.default_constant:
        refuse_equal(target, column.name)
    recipe = _Recipe(change, target, column, default, down)
    phases = (recipe.expand(), recipe.switch(), recipe.contract(), recipe.purge())
    return Plan(recipe.id, change, phases, recipe.notes(), target.source)


def _refuse_dependents(target: Target, column: TargetColumn) -> None:
    for dependent in target.dependents_of(column.name):
        if dependent.kind in _DEPENDENTS and not (dependent.kind == "sequence" and column.identity):
            why, fix = _DEPENDENTS[dependent.kind]
            raise InTheWay(target, column.name, dependent.description, why, fix)
    for constraint in target.constraints_on(column.name):
        if constraint.kind == "primary key":
            raise InTheWay(
                target,
                column.name,
                f'the primary key "{constraint.name}"',
                "rows would be without a key as soon as it is gone",
                "give the table another primary key in a change of its own",
            )


class _Recipe:
    def __init__(
        self,
        change: DropColumn,
        target: Target,
        column: TargetColumn,
        default: Expression | None,
        down: Expression | None,
    ) -> None:
        self.change = change
        self.target = target
        self.column = column
        self.default = default
        self.down = down
        self.table = target.table
        self.id = change.id
        self.trigger = trigger_name(self.id)
        self.function = function_name(self.id)
        self.quarantine = quarantine_name(self.id)
        self.name = f"{self.table.plain}.{column.name}"
        self.omitted = column.default is not None or column.identity or column.generated
        # A column that new code must write, and nothing fills.
        self.nullable = column.not_null and not self.omitted and default is None and down is None

    # -- phases ---------------------------------------------------------------------------------------------
    def expand(self) -> Phase:
        statements: tuple[Statement, ...] = ()
        undo: tuple[Statement, ...] = ()
        summary, loses = f"a row can be written without {self.name}, as before", None
        name = quote(self.column.name)
        if self.default is not None:
            before = "DROP DEFAULT" if self.column.default is None else f"SET DEFAULT {self.column.default}"
            statements = (
                self._alter(
                    f"ALTER COLUMN {name} SET DEFAULT {self.default.sql}", "catalog only; no row is written"
                ),
            )
            undo = (self._alter(f"ALTER COLUMN {name} {before}", "catalog only"),)
            summary = f"a row that is written without {self.name} holds {self.default.sql} there"
        elif self.down is not None:
            statements = (
                sync.create_schema(),
                sync.create_function(self._stand_in(self.down, self.column.name)),
                *sync.create_trigger(self.table, self.trigger, self.function),
            )
            undo = (sync.drop_trigger(self.table, self.trigger), sync.drop_function(self.function))
            summary = f"a trigger gives {self.name} a value in rows that are written without it"
        elif self.nullable:
            statements = (
                self._alter(f"ALTER COLUMN {name} DROP NOT NULL", "catalog only; no row is read or written"),
            )
            undo = tuple(not_null.restore(self.table, self.column.name))
            summary = f"a row may be written without {self.name}"
            loses = f"nothing, but it is refused while a row that new code wrote holds null in {self.name}"
        return Phase(
            "expand",
            summary,
            (Part(f"{self.name} need not be written", statements, undo),) if statements else (),
            instructions=("Code that runs now goes on as it is; code that no longer maps it may start.",),
            go_back="downgrade the expand revision" if statements else "nothing has changed",
            undo_loses=loses,
        )

    def switch(self) -> Phase:
        return Phase(
            "switch",
            f"no code reads or writes {self.name}",
            gates=self._armed(),
            instructions=(
                f"Deploy code that no longer maps {self.name}: take the attribute out of the class.",
                "A deferred attribute does not do: it is written, and read back, all the same.",
            ),
            go_back="deploy the old code again",
        )

    def contract(self) -> Phase:
        old, kept = quote(self.column.name), quote(self.quarantine)
        statements = [
            self._alter(
                f"RENAME COLUMN {old} TO {kept}",
                "catalog only; no code names the column any more, and it stays, out of sight, until it is purged",
                "rename-column",
            )
        ]
        undo = [self._alter(f"RENAME COLUMN {kept} TO {old}", "catalog only; every value is still there")]
        if self.down is not None:
            statements.append(
                Statement(
                    self._stand_in(self.down, self.quarantine),
                    None,
                    "the trigger goes on under the column's new name",
                )
            )
            undo.append(
                Statement(self._stand_in(self.down, self.column.name), None, "the trigger writes it again")
            )
        return Phase(
            "contract",
            f"{self.name} is gone for every client; its values are kept under {self.quarantine}",
            (Part(f"{self.name} goes into quarantine", tuple(statements), tuple(undo), self._armed()),),
            gates=(Word(OLD_CODE_GONE, f"no running code reads or writes {self.name}"), *self._armed()),
            go_back="downgrade the contract revision: the column is back, with every value",
        )

    def purge(self) -> Phase:
        keys = [
            Part(
                f"foreign key {key.name} of what was {self.name}",
                (
                    self._alter(
                        f"DROP CONSTRAINT {quote(key.name)}",
                        "catalog only, but of both tables: readers and writers of the other table wait for an instant "
                        "too; in a transaction of its own, so that no more than these two are locked",
                        "drop-constraint",
                    ),
                ),
                (point_again(self.target, key, self.column.name, self.quarantine),),
            )
            for key in self.target.constraints_on(self.column.name)
            if key.kind == "foreign key"
        ]
        statements = [
            self._alter(
                f"DROP COLUMN {quote(self.quarantine)}",
                "catalog only; nobody has missed it, and its indexes and constraints go with it",
                "drop-column",
                "drop-column-with-dependents",
                *(("drop-required-column",) if self.down is not None else ()),
            )
        ]
        if self.down is not None:
            statements.insert(0, sync.drop_trigger(self.table, self.trigger))
            statements.append(sync.drop_function(self.function))
        return Phase(
            "purge",
            f"nothing of {self.name} is left",
            (*keys, Part(f"what was {self.name}", tuple(statements), tuple(self._put_back()))),
            gates=(Word(PURGE_APPROVED, f"nobody will want {self.name} back"),),
            go_back=f"downgrade the purge revision: a column {self.quarantine} is there again"
            + (", filled from the row" if self.down is not None else ""),
            undo_loses=f"every value of {self.name}"
            + (" that is not what --down gives" if self.down is not None else ""),
        )

    # -- parts ----------------------------------------------------------------------------------------------
    def _alter(self, action: str, why: str, *allow: str) -> Statement:
        return Statement(
            f"ALTER TABLE {self.table}\n    {action}", LockMode.ACCESS_EXCLUSIVE, why, allow=allow
        )

    def _armed(self) -> tuple[Gate, ...]:
        return (TriggerArmed(self.table, self.trigger),) if self.down is not None else ()

    def _stand_in(self, down: Expression, column: str) -> str:
        return sync.stand_in_function(self.function, self.table, column, down.sql, reads=down.columns)

    def _put_back(self) -> Iterator[Statement]:
        """The quarantined column again, as empty as it must be."""
        kept = quote(self.quarantine)
        default = self.default.sql if self.default is not None else self.column.default
        constant = self.default.constant if self.default is not None else self.column.default_constant
        filled = default is not None and constant
        if filled:
            not_null = " NOT NULL" if self.column.not_null else ""
            yield self._alter(
                f"ADD COLUMN {kept} {type_of(self.column)}{not_null} DEFAULT {default}",
                "the default is a constant, kept once in the catalog; every row holds it",
            )
        else:
            yield self._alter(
                f"ADD COLUMN {kept} {type_of(self.column)}", "catalog only; every row holds null"
            )
            if default is not None:
                yield self._alter(f"ALTER COLUMN {kept} SET DEFAULT {default}", "catalog only")
        if self.down is not None:
            yield sync.create_function(self._stand_in(self.down, self.quarantine))
            yield from sync.create_trigger(self.table, self.trigger, self.function)
            yield Statement(
                f"UPDATE {self.table} SET {kept} = {self.down.sql}",  # noqa: S608 - it is the operator's SQL
                LockMode.ACCESS_EXCLUSIVE,
                "the lock of ADD COLUMN is held until every row is written: go back this far only on a small table or "
                "in a maintenance window",
            )
            if self.column.not_null:
                yield self._alter(
                    f"ALTER COLUMN {kept} SET NOT NULL",
                    "it reads every row, under the lock that is held anyway",
                )
        yield from hang_again(self.target, self.column.name, self.quarantine)

    def notes(self) -> tuple[str, ...]:
        column = self.column
        notes = []
        if self.nullable:
            notes.append(
                f"Rows of new code hold null in {self.name}: old code that reads them must bear it, or give it a value "
                "with --default or --down."
            )
        if self.down is not None and not column.not_null:
            notes.append(
                f"An INSERT that gives {column.name} as null is taken for one that does not know it; --down fills it."
            )
        gone = [
            f'index "{index.name}"'
            for index in self.target.indexes_on(column.name)
            if index.constraint is None
        ]
        gone += [f'constraint "{constraint.name}"' for constraint in self.target.constraints_on(column.name)]
        gone += [d.description for d in self.target.dependents_of(column.name)]
        if gone:
            notes.append(f"What goes with the column when it is purged: {', '.join(gone)}.")
        if self.target.published:
            empty = f"before expand {column.name} without NOT NULL, and " if self.nullable else ""
            kept = needs_kept(
                replace(column, not_null=column.not_null and not self.nullable), self.quarantine
            )
            notes.append(
                f"The table is published by {', '.join(self.target.published)}: its subscribers need {empty}before "
                f"contract {kept}, else they stop with an error."
            )
        notes.append("PostgreSQL gives back the space of a dropped column only as rows are written anew.")
        return tuple(notes)


def trials(change: DropColumn, facts: Facts) -> Iterator[Trial]:
    column = known_column(facts.table(change.table), change.column)
    if change.default is not None:
        yield ExpressionHolds(change.table, "--default", change.default, column.type, rows="false")
    if change.down is not None:
        yield ExpressionHolds(
            change.table, "--down", change.down, column.type, may_be_null=not column.not_null
        )


def shapes(change: DropColumn, facts: Facts) -> Shapes:
    return Shapes.within(facts.table(change.table), {change.column: {}})


RECIPE = Recipe(
    DropColumn,
    "Drop a column.",
    (
        COLUMN,
        option(
            "default",
            "expression",
            "Value that rows of new code hold in it until it is dropped, kept as its default.",
        ),
        option(
            "down",
            "expression",
            "Value that old code reads in rows of new code: an expression over the row's other columns.",
        ),
    ),
    plan,
    trials,
    shapes,
)
