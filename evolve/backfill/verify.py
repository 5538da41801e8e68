"""Does every row hold what the backfill was to give it: what is counted, and the walk that counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from evolve.backfill.controller import Controller
from evolve.backfill.failures import Verdict as Judgement
from evolve.backfill.failures import judge
from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Transform
from evolve.backfill.works import Delete, InsertSelect, JoinedUpdate, Update
from evolve.errors import Refused
from evolve.sql.names import quote
from evolve.sql.volatility import VOLATILE

TARGET = 0.2  # seconds per window: reading blocks nobody, but a long snapshot keeps VACUUM from its work
LARGEST = 200_000
SAMPLE = 10  # keys of misses that are kept
TRIES = 8  # looks at one window: a standby ends reads that are in the way of what it replays


class CannotVerify(Refused):
    def __init__(self, spec: Spec) -> None:
        name, cursor = f'backfill "{spec.name}"', "the cursor alone shows this run's progress"
        why = "a row that was brought up to date looks like one that was not"
        fix = f"give --where a predicate that finds the rows still to do; {cursor}"
        match spec.work:
            case InsertSelect():
                reason = "its copies do not hold the key"
                why, fix = "which row was copied cannot be told from the others", cursor
            case Transform():
                reason = "a function computes its values"
            case Update() | JoinedUpdate() if any(another_each_time(text) for _, text in spec.assignments):
                reason = "its expression is another one each time"
            case Update() | JoinedUpdate() | Delete():
                reason = "its expression reads the column it writes"
            case _:
                assert_never(spec.work)
        super().__init__(f"{name} cannot be verified: {reason}", why=why, fix=fix)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification saw.

    Args:
        rows: rows looked at.
        misses: rows that still need work or are wrong.
        sample: keys of the first misses, at most ten.
        at: ISO 8601, server time when it began: the result says nothing about later writes.
        predicate: what a miss is.
        nulls: (column, how many rows have null there), for each column that the backfill writes.
        checksum: sixteen hex digits, the same for the same keys and values of those columns, in whatever order and on
            whatever server of the cluster they are read; None where a type has no binary form.
        server: where it was read; None: on the primary.
    """

    rows: int
    misses: int
    sample: tuple[Key, ...]
    at: str
    predicate: str
    nulls: tuple[tuple[str, int], ...] = ()
    checksum: str | None = None
    server: str | None = None

    @property
    def clean(self) -> bool:
        return self.misses == 0


@dataclass(frozen=True, slots=True)
class Window:
    """What one snapshot of a stretch of keys showed.

    Args:
        end: its last key; None behind the last window.
        nulls: for each column written, in their order.
        checksum: the sum of its rows' hashes; None where they have none.
    """

    end: Key | None
    rows: int
    misses: int
    sample: tuple[Key, ...]
    nulls: tuple[int, ...]
    checksum: int | None


class Windows(Protocol):
    """Read-only looks at the table, each in a transaction of its own."""

    def begin(self) -> str:
        """The server's time, as ISO 8601."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Those that the backfill writes."""
        ...

    def look(self, after: Key | None, rows: int, sample: int) -> Window:
        """Count the rows and misses among the next `rows` keys; up to `sample` keys of misses.

        Raises:
            DatabaseFailure
        """
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
        """
        Raises:
            DatabaseFailure: one that more tries with fewer rows do not help.
        """
        at = self.windows.begin()
        columns = self.windows.columns()
        cursor: Key | None = None
        rows = misses = 0
        nulls = [0] * len(columns)
        checksum: int | None = 0
        sample: tuple[Key, ...] = ()
        while True:
            window = self._look(cursor, rows, SAMPLE - len(sample))
            rows += window.rows
            misses += window.misses
            sample += window.sample
            nulls = [before + found for before, found in zip(nulls, window.nulls, strict=True)]
            checksum = None if checksum is None or window.checksum is None else checksum + window.checksum
            self.between(rows)
            if window.end is None:
                return Verdict(
                    rows,
                    misses,
                    sample,
                    at,
                    self.predicate,
                    tuple(zip(columns, nulls, strict=True)),
                    None if checksum is None else f"{checksum % 2**64:016x}",
                )
            cursor = window.end

    def _look(self, cursor: Key | None, rows: int, sample: int) -> Window:
        for tries_left in reversed(range(TRIES)):
            began = self.clock()
            try:
                window = self.windows.look(cursor, self.controller.size, sample)
            except DatabaseFailure as failure:
                if not tries_left or judge(failure) not in (Judgement.CONTENDED, Judgement.TOO_SLOW):
                    raise
                self.controller.too_slow()
                self.between(rows)
                continue
            self.controller.committed(window.rows, self.clock() - began)
            return window
        raise AssertionError("the last try raises")


@dataclass(frozen=True, slots=True)
class Held:
    """How a column holds what it is given.

    Args:
        type: with its length or precision, fit for a cast.
        compares: it has an operator that tells whether two values are equal; else their texts are compared.
    """

    type: str
    compares: bool


def misses_predicate(
    spec: Spec, key: tuple[str, ...] | None = None, held: Mapping[str, Held] | None = None
) -> str | None:
    """SQL that is true for a row of the table which still needs work or is wrong; None where nothing can tell.

    `where` and an explicit `mismatch` are both counted. Without either the assignments are compared, unless an
    expression reads a column that is written: applied once or twice then looks the same; or is another one each time,
    as `gen_random_uuid()` and `now()`. A row without a partner in a join needs nothing. A row that was to be copied
    is looked for by its key, where the copy holds it.

    Args:
        key: names of the columns that are walked; None takes the specification's.
        held: of the columns that are written, by name. An expression may give 1/3 to a column that holds 0.33.
    """
    match spec.work:
        case Update():
            return _wrong(spec, "", held or {})
        case JoinedUpdate() as work:
            wrong = _wrong(spec, work.alias, held or {})
            return wrong and (
                f"EXISTS (SELECT FROM {work.source.full} AS {quote(work.alias)}"
                f" WHERE {_closed(work.on)} AND ({wrong}))"
            )
        case InsertSelect() as work:
            return spec.mismatch or _not_copied(spec, work, spec.key or key or ())
        case Delete() | Transform():
            given = [part for part in (spec.where, spec.mismatch) if part is not None]
            return " OR ".join(map(_closed, given)) or None
        case _:
            assert_never(spec.work)


def _wrong(spec: Spec, alias: str, held: Mapping[str, Held]) -> str | None:
    given = [part for part in (spec.where, spec.mismatch) if part is not None]
    if given:
        return " OR ".join(map(_closed, given))
    own = [_without(alias, expression) for _, expression in spec.assignments]
    if any(mentions(expression, column) for expression in own for column in spec.columns):
        return None
    if any(map(another_each_time, own)):
        return None
    table = f"{spec.table.full}." if alias else ""
    return " OR ".join(
        _differs(f"{table}{quote(column)}", _closed(expression), held.get(column))
        for column, expression in spec.assignments
    )


def _differs(column: str, value: str, held: Held | None) -> str:
    if held is None:
        return f"({column} IS DISTINCT FROM {value})"
    if held.compares:
        return f"({column} IS DISTINCT FROM {value}::{held.type})"
    return f"({column}::text IS DISTINCT FROM {value}::{held.type}::text)"


def _not_copied(spec: Spec, work: InsertSelect, key: tuple[str, ...]) -> str | None:
    table = spec.table.full
    copies = {
        name: column
        for column, expression in spec.assignments
        for name in key
        if expression.strip() in (name, quote(name), f'"{name}"', f"{spec.table}.{quote(name)}")
    }
    if not key or len(copies) < len(key):
        return None
    same = " AND ".join(f"copied.{quote(copies[name])} = {table}.{quote(name)}" for name in key)
    missing = f"NOT EXISTS (SELECT FROM {work.into.full} AS copied WHERE {same})"
    return missing if spec.where is None else f"{_closed(spec.where)} AND {missing}"


def _without(alias: str, expression: str) -> str:
    """The expression without what it reads of `alias`."""
    if not alias:
        return expression
    return re.sub(rf'(?<![\w$."]){re.escape(alias)}\s*\.\s*(?:[\w$]+|"(?:[^"]|"")+")', "", expression)


def _closed(sql: str) -> str:
    """In brackets that a comment at its end cannot swallow."""
    return f"({sql}\n)" if "--" in sql else f"({sql})"


def another_each_time(expression: str) -> bool:
    """It has another value in the next transaction, whatever the row holds: as far as functions that everybody has go.
    Many others are volatile only since nobody declared them as anything else.
    """
    return _ANOTHER_EACH_TIME.search(_without_strings(expression)) is not None


_ANOTHER_EACH_TIME = re.compile(
    r"(?<![\w$\"])(?:(?:"
    + "|".join(sorted(VOLATILE | {"now", "statement_timestamp", "transaction_timestamp"}))
    + r")\s*\(|(?:current_date|current_time|current_timestamp|localtime|localtimestamp)(?![\w$]))",
    re.IGNORECASE,
)


def mentions(expression: str, column: str) -> bool:
    """An identifier of that name occurs outside string literals; a false alarm is possible, a miss is not."""
    without_strings = _without_strings(expression)
    if '"' + column.replace('"', '""') + '"' in without_strings:
        return True
    return re.search(rf"(?<![\w$]){re.escape(column)}(?![\w$])", without_strings, re.IGNORECASE) is not None


def _without_strings(expression: str) -> str:
    return re.sub(r"'(?:[^']|'')*'", "''", expression)
