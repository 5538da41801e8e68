"""Give a value of an enumeration another name: both are there until nobody writes the first, and no row holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.errors import Misuse, Refused
from evolve.plan import sync
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.enum_values import (
    add_value,
    as_literal,
    as_printed,
    known_enum,
    refuse_unknown,
    refuse_value,
)
from evolve.plan.facts import EnumFacts, Facts
from evolve.plan.model import (
    OLD_CODE_GONE,
    BackfillDone,
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
from evolve.plan.parameters import Parameter
from evolve.plan.recipe import Recipe
from evolve.plan.recipes.enums.add_enum_value import READERS_READY
from evolve.plan.target import (
    InTheWay,
    NoKey,
    Target,
    known_column,
    refuse_family,
    refuse_later_triggers,
)
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.statements import Statement

_AX = LockMode.ACCESS_EXCLUSIVE


@dataclass(frozen=True, slots=True)
class RenameEnumValue(Change):
    """Let a value be called otherwise; `table` is the type."""

    kind: ClassVar[str] = "rename-enum-value"
    value: str
    to: str

    def words(self) -> Sequence[str]:
        return ["rename", *table_words(self.table), self.value, "to", self.to]

    def uses(self) -> Uses:
        return Uses(frozenset({(self.table, None)}))


class SameValue(Misuse):
    def __init__(self, value: str) -> None:
        super().__init__(f"the value is called '{value}' already", fix="give another name")


class ArrayOfType(Refused):
    def __init__(self, target: Target, column: str, type_name: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is {type_name}',
            why="the value may stand anywhere in it, and this recipe replaces whole values",
            fix="where all code can change at one instant: ALTER TYPE … RENAME VALUE, by hand",
        )


def plan(change: RenameEnumValue, facts: Facts) -> Plan:
    """Expand, backfill and contract.

    Raises:
        Misuse: there is no such type or value, or the new one is there already.
        Refused: something about a column of the type stands in the way.
    """
    enum = known_enum(facts, change.table)
    refuse_unknown(enum, change.value)
    if change.value == change.to:
        raise SameValue(change.to)
    refuse_value(enum, change.to)
    names: dict[QualifiedName, list[str]] = {}
    for table, column in enum.columns:
        names.setdefault(table, []).append(column)
    tables = tuple(_Table(change, enum, facts.table(table), tuple(found)) for table, found in names.items())
    for each in tables:
        each.refuse()
    phases = (_expand(change, enum), _backfill(change, enum, tables), _contract(change, tables))
    also = Uses(frozenset().union(*(columns(t.table, t.columns) for t in tables)))
    return Plan(change.id, change, phases, tuple(_notes(tables)), facts.source, also=also)


class _Table:
    """One table, and its columns of the type."""

    def __init__(
        self, change: RenameEnumValue, enum: EnumFacts, target: Target, names: tuple[str, ...]
    ) -> None:
        self.target = target
        self.table = target.table
        self.columns = names
        self.type = enum.name
        own = "_".join([change.id, *table_words(target.table)])
        self.trigger = trigger_name(own)
        self.function = function_name(own)
        self.backfill = own
        self.printed = as_printed(change.value)
        self.old = f"{as_literal(change.value)}::{enum.name}"
        self.new = f"{as_literal(change.to)}::{enum.name}"

    def refuse(self) -> None:
        target = self.target
        refuse_family(target)
        if not target.key:
            raise NoKey(target)
        refuse_later_triggers(target, self.trigger)
        for name in self.columns:
            column = known_column(target, name)
            if column.type != str(self.type):
                raise ArrayOfType(target, name, column.type)
            for constraint in target.constraints_on(name):
                if constraint.kind == "check" and self.printed in constraint.definition:
                    raise InTheWay(
                        target,
                        name,
                        f'the check "{constraint.name}", which names {self.printed}',
                        "it may refuse the new value",
                        "let it allow both in a revision before",
                    )
                if constraint.kind != "check":
                    raise InTheWay(
                        target,
                        name,
                        f'the constraint "{constraint.name}"',
                        "while rows hold the old value and the new one, it would take them for different",
                        "drop it in a revision before, if the application can do without it",
                    )
            for index in target.indexes_on(name):
                if index.unique:
                    raise InTheWay(
                        target,
                        name,
                        f'the unique index "{index.name}"',
                        "while rows hold the old value and the new one, it would take them for different",
                        "drop it in a revision before, if the application can do without it",
                    )

    @property
    def armed(self) -> TriggerArmed:
        return TriggerArmed(self.table, self.trigger)

    @property
    def left(self) -> str:
        return " OR ".join(f"{quote(name)} = {self.old}" for name in self.columns)

    @property
    def none_left(self) -> NoRows:
        return NoRows(self.table, self.left, f"a value is still {self.printed}", self.backfill)

    @property
    def spec(self) -> Spec:
        return Spec(
            self.backfill,
            self.table,
            tuple(
                (name, f"CASE WHEN {quote(name)} = {self.old} THEN {self.new} ELSE {quote(name)} END")
                for name in self.columns
            ),
            where=self.left,
            key=self.target.other_key,
            mismatch=self.left,
        )

    def arm(self) -> tuple[Statement, ...]:
        function = sync.put_function(self.function, self.table, self.columns, self.old, self.new)
        return (
            sync.create_schema(),
            sync.create_function(function),
            *sync.create_trigger(self.table, self.trigger, self.function),
        )

    def disarm(self) -> tuple[Statement, ...]:
        return (sync.drop_trigger(self.table, self.trigger), sync.drop_function(self.function))

    def defaults(self, *, back: bool) -> Iterator[Statement]:
        for name in self.columns:
            default = known_column(self.target, name).default
            if default is not None and default.startswith(f"{self.printed}::"):
                yield Statement(
                    f"ALTER TABLE {self.table}\n    ALTER COLUMN {quote(name)} SET DEFAULT "
                    f"{default if back else self.new}",
                    _AX,
                    "catalog only",
                )


def _expand(change: RenameEnumValue, enum: EnumFacts) -> Phase:
    return Phase(
        "expand",
        f"type {enum.name.plain} has both {change.value} and {change.to}, and nobody writes {change.to} yet",
        (
            Part(
                f"{enum.name.plain} has a value {change.to}",
                (add_value(enum, change.to, f"AFTER {as_literal(change.value)}"),),
            ),
        ),
        instructions=(
            f"Deploy code that takes {change.to} for {change.value} wherever it reads or compares one, and does not "
            f"write {change.to} yet. Code that does not know it fails at the first row that holds it.",
        ),
        go_back="there is no way back for the type: PostgreSQL cannot drop a value; the downgrade leaves it there, and "
        "unused it does no harm",
        undo_loses="nothing, and it takes nothing away either: the value stays",
    )


def _backfill(change: RenameEnumValue, enum: EnumFacts, tables: Sequence[_Table]) -> Phase:
    return Phase(
        "backfill",
        f"every row holds {change.to} instead of {change.value}, whichever of the two is written",
        tuple(
            Part(
                f"{change.to} instead of {change.value} in {table.table.plain}",
                # The strongest lock comes first.
                (*table.defaults(back=False), *table.arm()),
                (*table.disarm(), *table.defaults(back=True)),
            )
            for table in tables
        ),
        gates=(
            Word(
                READERS_READY,
                f"all code that reads columns of type {enum.name.plain} takes {change.to} for {change.value}",
            ),
        ),
        backfills=tuple(table.spec for table in tables),
        instructions=(
            *(f"Run: evolve backfill run {table.backfill}" for table in tables),
            f"Deploy code that writes {change.to}, and knows {change.value} no longer once the backfill is done.",
        ),
        go_back="downgrade the backfill revisions: the triggers go",
        undo_loses=f"nothing, but rows go on holding {change.to}, which the code of that time takes for {change.value}",
    )


def _contract(change: RenameEnumValue, tables: Sequence[_Table]) -> Phase:
    return Phase(
        "contract",
        f"nobody writes {change.value}, and no row holds it",
        tuple(
            Part(
                f"{table.table.plain} without {change.value}",
                table.disarm(),
                table.arm(),
                (table.armed,),
                (table.spec,),
            )
            for table in tables
        ),
        gates=(
            Word(OLD_CODE_GONE, f"no running code writes {change.value}, or asks for it"),
            *(table.armed for table in tables),
            *(NoOlderTransaction(table.table, table.trigger) for table in tables),
            *(BackfillDone(table.backfill) for table in tables),
            *(table.none_left for table in tables),
        ),
        go_back=f"downgrade the contract revisions: the triggers are back, and {change.value} may be written again",
    )


def _notes(tables: Sequence[_Table]) -> Iterator[str]:
    yield (
        "PostgreSQL cannot drop a value: the old one stays in the type, unused. ALTER TYPE … RENAME VALUE would be "
        "done in an instant, and in that instant code that knows one of the names only would fail."
    )
    told = dict.fromkeys(
        f"{dependent.description} ({table.table.plain}.{name})"
        for table in tables
        for name in table.columns
        for dependent in table.target.dependents_of(name)
    )
    told |= dict.fromkeys(
        f'index "{index.name}"'
        for table in tables
        for name in table.columns
        for index in table.target.indexes_on(name)
        if table.printed in index.definition
    )
    if told:
        yield f"See whether they name the old value: {'; '.join(told)}."


RECIPE = Recipe(
    RenameEnumValue,
    "Give a value of an enumeration another name.",
    (
        Parameter("table", "relation", "The enumeration.", metavar="TYPE"),
        Parameter("value", "text", "The value.", metavar="VALUE"),
        Parameter("to", "text", "Its new name.", metavar="NAME"),
    ),
    plan,
)
