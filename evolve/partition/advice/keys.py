"""By which column a table is best partitioned, or spread over several servers, if by any; each score with its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from evolve.lint.facts import Facts
from evolve.partition.advice.usage import Use, rows_share, share
from evolve.partition.advice.workload import Column, Table, Workload
from evolve.sql.conditions import Condition
from evolve.sql.names import QualifiedName

Method = Literal["range", "list", "hash", "shard"]

GOOD_ENOUGH = {"partition": 30, "shard": 40}  # of 100; below it the best key is not worth its price
PARTS = 16  # partitions or servers that a hash is judged for
_MOST_VALUES = 50  # of a list
_SMALL = 100_000  # rows; a table of fewer can stand on every server
_TIMES = ("date", "timestamp without time zone", "timestamp with time zone")
_NUMBERS = ("smallint", "integer", "bigint")
_HASHED = (*_TIMES, *_NUMBERS, "uuid", "text", "character varying", "character", "numeric")


@dataclass(frozen=True, slots=True)
class Part:
    """What a score is made of, in points."""

    name: str
    points: int
    why: str


@dataclass(frozen=True, slots=True)
class Key:
    """
    Args:
        score: from 0 to 100.
    """

    method: Method
    column: str
    score: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Args:
        best: None where no key is worth it.
        why: it is so.
        keys: all that were scored, the best first.
    """

    best: Key | None
    why: str
    keys: tuple[Key, ...]


def partition_key(
    facts: Facts, workload: Workload, table: Table, uses: Sequence[Use], least_bytes: int
) -> Verdict:
    """
    Args:
        least_bytes: a table with its indexes must have before partitions are worth their price.
    """
    subject = _Subject(facts, workload, table, uses)
    keys = _sorted(
        subject.partition(method, column)
        for column in table.columns
        for method in _methods(column, subject.rows)
    )
    return _verdict(subject, keys, "partition", least_bytes)


def shard_key(
    facts: Facts, workload: Workload, table: Table, uses: Sequence[Use], least_bytes: int
) -> Verdict:
    """Args as for `partition_key`."""
    subject = _Subject(facts, workload, table, uses)
    keys = _sorted(
        subject.shard(column)
        for column in table.columns
        if _many(column, subject.rows) and column.type in _HASHED
    )
    return _verdict(subject, keys, "shard", least_bytes)


def _sorted(keys: Iterator[Key]) -> tuple[Key, ...]:
    """The best first; those that nothing speaks for are left out."""
    told = [key for key in keys if any(part.points > 0 for part in key.parts)]
    return tuple(sorted(told, key=lambda key: (-key.score, key.column, key.method)))


def _verdict(
    subject: _Subject, keys: tuple[Key, ...], purpose: Literal["partition", "shard"], least_bytes: int
) -> Verdict:
    size = subject.facts.size(subject.table.name)
    if size is not None and size.bytes < least_bytes:
        gain = "fit one server well" if purpose == "shard" else "read and vacuumed well in one piece"
        return Verdict(None, f"it is small: {_bytes(size.bytes)} are {gain}", keys)
    if subject.workload.statements is None:
        return Verdict(None, "nobody has counted statements, so what reads it is not known", keys)
    if not any(use.share for use in subject.uses):
        return Verdict(None, "no statement that reads it was counted", keys)
    if not keys:
        return Verdict(None, "no column is asked for in a way that would leave partitions out", keys)
    best = keys[0]
    if best.score < GOOD_ENOUGH[purpose]:
        name = f"{best.method} ({best.column})" if purpose == "partition" else best.column
        return Verdict(
            None,
            f"the best, {name}, has {best.score} points of the {GOOD_ENOUGH[purpose]} that make it worth while",
            keys,
        )
    lead = best.parts[0]
    return Verdict(best, lead.why, keys)


def _methods(column: Column, rows: int) -> Iterator[Method]:
    values = column.values(rows)
    ordered = abs(column.correlation or 0.0) >= 0.9 and values is not None and values >= rows / 2
    if column.type in _TIMES or (column.type in (*_NUMBERS, "uuid") and (ordered or column.growing)):
        yield "range"
    if values is not None and 2 <= values <= _MOST_VALUES and column.type not in ("json", "jsonb"):
        yield "list"
    if _many(column, rows) and column.type in _HASHED and column.type not in _TIMES:
        yield "hash"


def _many(column: Column, rows: int) -> bool:
    values = column.values(rows)
    return values is not None and values >= 4 * PARTS


@dataclass(frozen=True, slots=True)
class _Subject:
    facts: Facts
    workload: Workload
    table: Table
    uses: Sequence[Use]

    @property
    def rows(self) -> int:
        size = self.facts.size(self.table.name)
        return (size.rows or 0) if size is not None else 0

    # -- partitions ---------------------------------------------------------------------------------------------------
    def partition(self, method: Method, column: Column) -> Key:
        ordered = method == "range"
        read = share(self.uses, lambda use: _pruned(use, column.name, ordered=ordered))
        word = "asks for a range or a value of" if ordered else "asks for one value of"
        parts = [
            Part(
                "pruned reads",
                _points(0.75 if ordered else 0.6, read),
                f"{_percent(read)} of the read time {word} {column.name}",
            )
        ]
        if ordered:
            gone = rows_share(self.uses, "delete", lambda use: _pruned(use, column.name, ordered=True) > 0)
            parts.append(
                Part(
                    "range deletes",
                    _points(0.25, gone),
                    f"{_percent(gone)} of the deleted rows go by {column.name}: a DROP instead",
                )
            )
            if column.growing or (column.correlation or 0.0) > 0.9:
                parts.append(
                    Part(
                        "insert hotspot",
                        -2,
                        "all inserts go to the newest partition, whose indexes stay in memory",
                    )
                )
        parts.append(self._skew(method, column, 0.25))
        parts += self._lost(column.name, 8, "is not kept across partitions")
        parts.append(self._moved(column.name, "moves the row to another partition"))
        parts.append(
            Part(
                "NULLs",
                -_points(0.3, column.null_share),
                f"{_percent(column.null_share)} of the rows hold NULL, which fit no range",
            )
        )
        return _key(method, column, parts)

    # -- servers ------------------------------------------------------------------------------------------------------
    def shard(self, column: Column) -> Key:
        read = share(self.uses, lambda use: _pruned(use, column.name, ordered=False))
        local = share(self.uses, lambda use: self._joins(use, column.name) == "local")
        cross = share(self.uses, lambda use: self._joins(use, column.name) == "cross")
        parts = [
            Part(
                "one server",
                _points(0.8, read),
                f"{_percent(read)} of the read time asks for one value of {column.name}",
            ),
            Part(
                "local joins",
                _points(0.2, local),
                f"{_percent(local)} of the read time joins by {column.name}",
            ),
            Part(
                "cross-shard joins",
                -_points(0.5, cross),
                f"{_percent(cross)} of the read time joins large tables by other columns",
            ),
            self._skew("shard", column, 0.4),
            *self._lost(column.name, 15, "cannot be kept across servers"),
            self._moved(column.name, "is refused where the rows lie on several servers"),
            *self._far_references(column.name),
        ]
        return _key("shard", column, parts)

    def _joins(self, use: Use, column: str) -> Literal["none", "local", "cross"]:
        found: Literal["none", "local", "cross"] = "none"
        for scope in use.use.scopes:
            by = {join.table for join in scope.joins if join.column == column}
            for other in scope.tables:
                if other in by:
                    found = "local" if found == "none" else found
                elif not self._is_small(other):
                    found = "cross"
        return found

    def _is_small(self, table: QualifiedName) -> bool:
        size = self.facts.size(table)
        return size is not None and size.rows is not None and size.rows < min(_SMALL, max(self.rows // 10, 1))

    def _far_references(self, column: str) -> Iterator[Part]:
        for reference in self.table.references:
            other = next((name for name in self.workload.tables if name.full == reference.table), None)
            if column not in reference.columns and (other is None or not self._is_small(other)):
                yield Part("foreign keys", -8, f"{reference.name} points to rows of other servers")

    # -- both ---------------------------------------------------------------------------------------------------------
    def _skew(self, method: Method, column: Column, weight: float) -> Part:
        values = column.values(self.rows) or 1.0
        parts = values if method == "list" else PARTS
        largest = column.largest_share or 0.0
        if method == "range":
            return Part("skew", 0, "intervals are chosen such that partitions are alike")
        biggest = max(largest, 1 / parts) if method == "list" else largest + (1 - largest) / parts
        times = biggest * parts
        return Part(
            "skew",
            -_points(weight, 1 - 1 / max(times, 1.0)),
            f"the largest part is {times:.1f} times the average",
        )

    def _lost(self, column: str, points: int, words: str) -> Iterator[Part]:
        """Keys that lack the column, and the foreign keys of others that need them."""
        lost = [index for index in self.table.unique if column not in index.columns]
        for index in lost[:3]:
            worth = points if index.primary else points // 2
            yield Part("unique keys", -worth, f"{index.name} ({', '.join(index.columns)}) {words}")
        keys = {index.columns for index in lost}
        for other in self.workload.tables.values():
            for reference in other.references:
                if reference.table == self.table.name.full and _ordered(reference.others, keys):
                    yield Part(
                        "foreign keys",
                        -points,
                        f"{reference.name} of {other.name.plain} points to a key without {column}",
                    )

    def _moved(self, column: str, words: str) -> Part:
        moved = rows_share(self.uses, "update", lambda use: column in use.use.sets)
        return Part(
            "key updates",
            -_points(0.6, moved),
            f"{_percent(moved)} of the updated rows change it, which {words}",
        )


def _ordered(columns: tuple[str, ...], keys: set[tuple[str, ...]]) -> bool:
    return any(set(columns) == set(key) for key in keys)


def _pruned(use: Use, column: str, *, ordered: bool) -> float:
    """How well each place where the statement reads the table is narrowed by the column: the worst counts."""
    return min((_narrowed(conditions, ordered=ordered) for conditions in use.conditions(column)), default=0.0)


def _narrowed(conditions: Sequence[Condition], *, ordered: bool) -> float:
    own = [condition for condition in conditions if not condition.late]
    if any(condition.form == "equal" for condition in own):
        return 1.0
    sides = {condition.detail[0] for condition in own if condition.form == "range"}
    if not ordered or not sides:
        return 0.0
    return 1.0 if len(sides) > 1 else 0.6  # of a range that is open at one end


def _key(method: Method, column: Column, parts: Sequence[Part]) -> Key:
    told = tuple(part for part in parts if part.points)
    return Key(method, column.name, min(max(sum(part.points for part in told), 0), 100), told)


def _points(weight: float, portion: float) -> int:
    return round(100 * weight * min(max(portion, 0.0), 1.0))


def _percent(portion: float) -> str:
    return f"{round(100 * portion)} %"


def _bytes(number: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} bytes"
