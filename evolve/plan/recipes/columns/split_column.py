"""Split a column into several: new columns made of it, kept in step both ways, until nobody uses it."""

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
from evolve.plan.parameters import COLUMN, option
from evolve.plan.recipe import Recipe
from evolve.plan.replacement import NewColumn, Replacement
from evolve.plan.shapes import both_sides, law_trials, notes
from evolve.plan.target import known_column
from evolve.plan.trials import Trial
from evolve.plan.versions import Shapes


@dataclass(frozen=True, slots=True)
class SplitColumn(Change):
    """Put what one column holds into several.

    Args:
        into: (new column, expression over the old one); its type is the cast that the expression ends in, else text.
        down: expression over the new columns that gives the old value.
        on_conflict: what the sync trigger does with a statement that writes different values to both shapes.
        accept_lost: rows that may lose what the new shape cannot tell of them.
    """

    kind: ClassVar[str] = "split-column"
    column: str
    into: tuple[tuple[str, str], ...]
    down: str
    on_conflict: sync.OnConflict = "raise"
    accept_lost: int = 0

    def words(self) -> Sequence[str]:
        return ["split", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column, *(name for name, _ in self.into))))


class OneColumn(Misuse):
    def __init__(self, change: SplitColumn) -> None:
        name = change.into[0][0]
        super().__init__(
            f'into "{name}" alone is no split',
            fix=f"give --into for each new column; for one: evolve plan rename-column {change.table}.{change.column} "
            f"{name}, or evolve plan change-type",
        )


def plan(change: SplitColumn, facts: Facts) -> Plan:
    """The six phases of a split.

    Raises:
        Misuse: a name or an expression does not fit.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    known_column(target, change.column)
    if len(change.into) < 2:
        raise OneColumn(change)
    old, new = both_sides(target, ((change.column, change.down),), change.into)
    refuse_dependents(target, change.column)
    road = Replacement(
        change,
        target,
        old,
        tuple(NewColumn(side) for side in new),
        f"split {change.table.plain}.{change.column} into {', '.join(side.column for side in new)}",
        on_conflict=change.on_conflict,
        old_code=f"no running code reads or writes {change.table.plain}.{change.column}",
        loses_at_purge=f"what {change.column} held and the new columns do not tell",
        accept_lost=change.accept_lost,
    )
    road.refuse()
    told = (*notes(target, old, new, change.accept_lost), *road.published_notes())
    return Plan(change.id, change, road.phases(), told, target.source)


def trials(change: SplitColumn, facts: Facts) -> Iterator[Trial]:
    target = facts.table(change.table)
    old, new = both_sides(target, ((change.column, change.down),), change.into)
    yield from law_trials(target, old, new, "--into", "--down", change.accept_lost)


def shapes(change: SplitColumn, facts: Facts) -> Shapes:
    return Shapes.within(facts.table(change.table), {change.column: {name: name for name, _ in change.into}})


RECIPE = Recipe(
    SplitColumn,
    "Put what one column holds into several.",
    (
        COLUMN,
        option(
            "into",
            "pairs",
            "A new column and its value, an expression over the old one; its type is the cast that the expression ends "
            "in, text without one. Given once for each column.",
            required=True,
            metavar="NAME=SQL",
        ),
        option(
            "down",
            "expression",
            "The old value, an expression over the new columns.",
            required=True,
        ),
        sync.on_conflict("old and new columns"),
        ACCEPT_LOST,
    ),
    plan,
    trials,
    shapes,
)
