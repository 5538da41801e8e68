"""Merge columns into one: a new column made of them, kept in step both ways, until nobody uses them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Misuse
from evolve.plan import sync
from evolve.plan.carry import refuse_dependents
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.facts import Facts
from evolve.plan.lost_rows import ACCEPT_LOST
from evolve.plan.model import Plan
from evolve.plan.parameters import TABLE, option
from evolve.plan.recipe import Recipe
from evolve.plan.replacement import NewColumn, Replacement
from evolve.plan.shapes import both_sides, law_trials, notes
from evolve.plan.trials import Trial
from evolve.plan.versions import Shapes


@dataclass(frozen=True, slots=True)
class MergeColumns(Change):
    """Put what several columns hold into one.

    Args:
        into: the one new column and the expression over the old ones that makes it; its type is the cast that the
            expression ends in, else text.
        down: (old column, expression over the new one that gives its value); these are the columns that are merged.
        on_conflict: what the sync trigger does with a statement that writes different values to both shapes.
        accept_lost: rows that may lose what the new shape cannot tell of them.
    """

    kind: ClassVar[str] = "merge-columns"
    into: tuple[tuple[str, str], ...]
    down: tuple[tuple[str, str], ...]
    on_conflict: sync.OnConflict = "raise"
    accept_lost: int = 0

    def words(self) -> Sequence[str]:
        return ["merge", *table_words(self.table), "into", *(name for name, _ in self.into)]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (name for name, _ in (*self.into, *self.down))))


class NotOne(Misuse):
    def __init__(self, change: MergeColumns) -> None:
        names = ", ".join(f'"{name}"' for name, _ in change.into)
        super().__init__(
            f"columns are merged into one, and --into names {names}",
            fix="give --into once",
        )


class NothingToMerge(Misuse):
    def __init__(self, change: MergeColumns) -> None:
        super().__init__(
            f'"{change.down[0][0]}" alone is nothing to merge',
            fix="give --down for each column that goes; for one: evolve plan rename-column, or change-type",
        )


def plan(change: MergeColumns, facts: Facts) -> Plan:
    """The six phases of a merge.

    Raises:
        Misuse: a name or an expression does not fit.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    if len(change.into) != 1:
        raise NotOne(change)
    if len(change.down) < 2:
        raise NothingToMerge(change)
    old, new = both_sides(target, change.down, change.into)
    for side in old:
        refuse_dependents(target, side.column)
    names = ", ".join(side.column for side in old)
    road = Replacement(
        change,
        target,
        old,
        tuple(NewColumn(side) for side in new),
        f"merge {names} of {change.table.plain} into {new[0].column}",
        on_conflict=change.on_conflict,
        old_code=f"no running code reads or writes {names} of {change.table.plain}",
        loses_at_purge=f"what {names} held and {new[0].column} does not tell",
        accept_lost=change.accept_lost,
    )
    road.refuse()
    told = (*notes(target, old, new, change.accept_lost), *road.published_notes())
    return Plan(change.id, change, road.phases(), told, target.source)


def trials(change: MergeColumns, facts: Facts) -> Iterator[Trial]:
    target = facts.table(change.table)
    old, new = both_sides(target, change.down, change.into)
    yield from law_trials(target, old, new, "--down", "--into", change.accept_lost)


def shapes(change: MergeColumns, facts: Facts) -> Shapes:
    ((first, _), *others), ((merged, _),) = change.down, change.into
    return Shapes.within(
        facts.table(change.table), {first: {merged: merged}, **{name: {} for name, _ in others}}
    )


RECIPE = Recipe(
    MergeColumns,
    "Put what several columns hold into one.",
    (
        TABLE,
        option(
            "into",
            "pairs",
            "The new column and its value, an expression over the old ones; its type is the cast that the expression "
            "ends in, text without one.",
            required=True,
            metavar="NAME=SQL",
        ),
        option(
            "down",
            "pairs",
            "A column that goes and its value, an expression over the new one. Given once for each column.",
            required=True,
            metavar="NAME=SQL",
        ),
        sync.on_conflict("old and new columns"),
        ACCEPT_LOST,
    ),
    plan,
    trials,
    shapes,
)
