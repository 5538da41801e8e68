"""Rename a column: a twin under the new name, kept equal by a trigger, until nobody uses the old one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Misuse
from evolve.plan import sync
from evolve.plan.carry import carry
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.expressions import read_type
from evolve.plan.facts import Facts
from evolve.plan.model import Plan
from evolve.plan.parameters import COLUMN, Parameter
from evolve.plan.recipe import Recipe
from evolve.plan.replacement import NewColumn, Replacement
from evolve.plan.target import ColumnExists, known_column, refuse_family
from evolve.plan.trials import AddsWithoutRewrite, Trial
from evolve.plan.versions import Shapes


@dataclass(frozen=True, slots=True)
class RenameColumn(Change):
    """Give a column another name.

    Args:
        on_conflict: what the sync trigger does with a statement that writes different values to both names.
    """

    kind: ClassVar[str] = "rename-column"
    column: str
    to: str
    on_conflict: sync.OnConflict = "raise"

    def words(self) -> Sequence[str]:
        return ["rename", *table_words(self.table), self.column, "to", self.to]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column, self.to)))


# pg_attribute's own, on every table
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


class ReservedName(Misuse):
    def __init__(self, name: str) -> None:
        super().__init__(
            f'"{name}" is a system column of every table', fix="choose another name for the column"
        )


class SameName(Misuse):
    def __init__(self, name: str) -> None:
        super().__init__(f'the column is called "{name}" already', fix="give the new name as second argument")


def plan(change: RenameColumn, facts: Facts) -> Plan:
    """The phases of a rename.

    Raises:
        Misuse: a name is unknown, taken or reserved.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    refuse_family(target)
    column = known_column(target, change.column)
    if change.to == change.column:
        raise SameName(change.to)
    if change.to in _SYSTEM_COLUMNS:
        raise ReservedName(change.to)
    if target.column(change.to) is not None:
        raise ColumnExists(target, change.to)
    exact = sync.is_exact(column.type, collation=column.collation, enum=column.enum)
    volatile = not column.default_steady
    default = None if volatile else column.default
    road = Replacement(
        change,
        target,
        (sync.Side(change.column, column.type, exact, default, volatile=volatile),),
        (NewColumn(sync.Side(change.to, column.type, exact, default), column.collation, column.not_null),),
        f"rename {change.table.plain}.{change.column} to {change.to}",
        carry(target, change.column, change.to),
        comments=True,
        on_conflict=change.on_conflict,
        old_code=f"no running code reads or writes {change.table.plain}.{change.column}",
    )
    road.refuse()
    notes = list(road.published_notes())
    if volatile:
        notes.append(
            f"The default of {change.column} is a function call: an INSERT that gives both columns is taken to mean "
            f"the new one, and one that gives null for {change.to} gets the default, until contract."
        )
    if not exact:
        notes.append(
            f"Values of {column.type} can be equal and still differ (1.0 and 1.00, or in case); the trigger and the "
            "counts compare them byte by byte."
        )
    return Plan(change.id, change, road.phases(), tuple(notes), target.source)


def trials(change: RenameColumn, facts: Facts) -> Iterator[Trial]:
    column = known_column(facts.table(change.table), change.column)
    yield AddsWithoutRewrite(
        read_type(column.type).type, "keep the name, or move the rows to a column of the base type"
    )


def shapes(change: RenameColumn, facts: Facts) -> Shapes:
    target = facts.table(change.table)
    column = known_column(target, change.column)
    shared = column.default if column.default_steady else None
    return Shapes.within(
        target,
        {change.column: {change.to: change.to}},
        defaults={} if shared is None else {change.to: shared},
    )


RECIPE = Recipe(
    RenameColumn,
    "Give a column another name.",
    (
        COLUMN,
        Parameter("to", "name", "Its new name.", metavar="NAME"),
        sync.on_conflict("both names"),
    ),
    plan,
    trials,
    shapes,
)
