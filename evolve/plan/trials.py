"""What has to be tried on the rows of the target before a change is written: questions that no catalog answers.

A trial reads; where the table is too large to be read in its time, that becomes a note of the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evolve.errors import EvolveError
from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class ExpressionHolds:
    """An expression fits table and type, fails for no row and gives no null.

    Args:
        option: what it was given with, for messages.
        expression: over the columns of `table`.
        type: what it is cast to.
        rows: predicate of the rows that matter; None: all of them.
        may_be_null: a null is right, too.
    """

    table: QualifiedName
    option: str
    expression: str
    type: str
    rows: str | None = None
    may_be_null: bool = False


@dataclass(frozen=True, slots=True)
class AddsWithoutRewrite:
    """ADD COLUMN of this type writes no row: it is no domain with constraints."""

    type: str
    fix: str


@dataclass(frozen=True, slots=True)
class NoSuchRow:
    """No row of `table` satisfies `predicate`; a sample is looked at first, then all of them, by count.

    Args:
        meaning: what such a row is, for the note where not all could be read.
        show: columns that a counter-example is shown with, its key first.
        refusal: makes the error from how many there are and counter-examples ("id=7, name='x'"); None: they become a
            note.
        fails: a row for which the predicate itself fails, by a cast for example, is such a row too.
        advice: what the note says about so many of them.
    """

    table: QualifiedName
    predicate: str
    meaning: str
    show: tuple[str, ...] = ()
    refusal: Callable[[int, tuple[str, ...]], EvolveError] | None = None
    fails: bool = False
    advice: Callable[[int], str] | None = None


@dataclass(frozen=True, slots=True)
class CommandsFit:
    """No client runs one of `commands` on `table` by its bare name, as far as pg_stat_statements has seen.

    Args:
        commands: as they begin, e.g. "COPY", "TRUNCATE TABLE"; the table's name follows.
        refusal: makes the error from the statements that were seen.
        unseen: the note where pg_stat_statements is not there or may not be read.
    """

    table: QualifiedName
    commands: tuple[str, ...]
    refusal: Callable[[tuple[str, ...]], EvolveError]
    unseen: str


Trial = ExpressionHolds | AddsWithoutRewrite | NoSuchRow | CommandsFit
