"""Does every row hold what the backfill was to give it: what is counted, and the walk that counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from evolve.backfill.controller import Controller
from evolve.backfill.keyset import Key
from evolve.backfill.spec import Spec
from evolve.errors import Refused
from evolve.sql.names import quote

TARGET = 0.2  # seconds per window: reading blocks nobody, but a long snapshot keeps VACUUM from its work
LARGEST = 200_000
SAMPLE = 10  # keys of misses that are kept


class CannotVerify(Refused):
    def __init__(self, spec: Spec) -> None:
        super().__init__(
            f'backfill "{spec.name}" cannot be verified: its expression reads the column it writes',
            why="a row that was brought up to date looks like one that was not",
            fix="give --where a predicate that finds the rows still to do; the cursor alone shows this run's progress",
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification saw.

    Args:
        rows: rows looked at.
        misses: rows that still need work or are wrong.
        sample: keys of the first misses, at most ten.
        at: ISO 8601, server time when it began: the result says nothing about later writes.
        predicate: what a miss is.
    """

    rows: int
    misses: int
    sample: tuple[Key, ...]
    at: str
    predicate: str

    @property
    def clean(self) -> bool:
        return self.misses == 0


@dataclass(frozen=True, slots=True)
class Window:
    """`end` is None behind the last window."""

    end: Key | None
    rows: int
    misses: int
    sample: tuple[Key, ...]


class Windows(Protocol):
    """Read-only looks at the table, each in a transaction of its own."""

    def begin(self) -> str:
        """The server's time, as ISO 8601."""
        ...

    def look(self, after: Key | None, rows: int, sample: int) -> Window:
        """Count the rows and misses among the next `rows` keys; up to `sample` keys of misses."""
        ...


@dataclass(slots=True)
class Verification:
    """Walks the whole table, also behind the run's last key: a gate must know of rows written since.

    Args:
        between: called after each window with the rows seen so far; raises to stop.
    """

    windows: Windows
    predicate: str
    clock: Callable[[], float]
    between: Callable[[int], None]
    controller: Controller = field(
        default_factory=lambda: Controller(target=TARGET, largest=LARGEST, first=5_000, smallest=1_000)
    )

    def run(self) -> Verdict:
        at = self.windows.begin()
        cursor: Key | None = None
        rows = misses = 0
        sample: tuple[Key, ...] = ()
        while True:
            began = self.clock()
            size = self.controller.size
            window = self.windows.look(cursor, size, SAMPLE - len(sample))
            self.controller.committed(window.rows, self.clock() - began)
            rows += window.rows
            misses += window.misses
            sample += window.sample
            self.between(rows)
            if window.end is None:
                return Verdict(rows, misses, sample, at, self.predicate)
            cursor = window.end


def misses_predicate(spec: Spec) -> str | None:
    """SQL that is true for a row which still needs work or is wrong; None where nothing can tell.

    `where` and an explicit `mismatch` are both counted. Without either the assignments are compared, unless an
    expression reads a column that is written: applied once or twice then looks the same.
    """
    given = [part for part in (spec.where, spec.mismatch) if part is not None]
    if given:
        return " OR ".join(map(_closed, given))
    targets = {column for column, _ in spec.assignments}
    if any(_mentions(expression, column) for _, expression in spec.assignments for column in targets):
        return None
    return " OR ".join(
        f"({quote(column)} IS DISTINCT FROM {_closed(expression)})" for column, expression in spec.assignments
    )


def _closed(sql: str) -> str:
    """In brackets that a comment at its end cannot swallow."""
    return f"({sql}\n)" if "--" in sql else f"({sql})"


def _mentions(expression: str, column: str) -> bool:
    """An identifier of that name occurs outside string literals; a false alarm is possible, a miss is not."""
    without_strings = re.sub(r"'(?:[^']|'')*'", "''", expression)
    if '"' + column.replace('"', '""') + '"' in without_strings:
        return True
    return re.search(rf"(?<![\w$]){re.escape(column)}(?![\w$])", without_strings, re.IGNORECASE) is not None
