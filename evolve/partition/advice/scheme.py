"""How a table is partitioned, as far as a query can be pruned by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evolve.sql.names import QualifiedName

Method = Literal["range", "list", "hash"]


@dataclass(frozen=True, slots=True)
class Level:
    """One partitioned table of the tree.

    Args:
        columns: "" for an expression.
    """

    table: QualifiedName
    method: Method
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a key, and the end of the range that it begins, as SQL; `high` is None where there is none."""

    low: str
    high: str | None = None


@dataclass(frozen=True, slots=True)
class Scheme:
    """
    Args:
        levels: the table first, then its partitions that are partitioned themselves.
        leaves: partitions that hold rows.
        defaults: those of `leaves` that take what fits nowhere else.
        samples: of each key column, one for each partition it tells apart, in the order of their bounds.
        types: of each key column.
        volatile: functions that give another value for each row.
        pruning: what the session's `enable_partition_pruning` says.
    """

    levels: tuple[Level, ...]
    leaves: frozenset[QualifiedName]
    defaults: frozenset[QualifiedName]
    samples: Mapping[str, tuple[Sample, ...]]
    types: Mapping[str, str]
    volatile: frozenset[str]
    pruning: bool = True

    @property
    def table(self) -> QualifiedName:
        return self.levels[0].table

    @property
    def key(self) -> tuple[str, ...]:
        """Every column that tells partitions apart at some level, the table's own first."""
        return tuple(dict.fromkeys(column for level in self.levels for column in level.columns if column))


def arguments(
    scheme: Scheme, types: Sequence[str], compared: Sequence[tuple[int, str, str]]
) -> tuple[str, ...]:
    """Values for the parameters of a query, as SQL, with which it scans as few partitions as its conditions allow.

    Args:
        types: of the parameters, in order.
        compared: (number, column, operator) of those that are compared with a column.
    """
    values = [_by_type(scheme, type_) for type_ in types]
    seen = Counter[str]()
    for number, column, operator in compared:
        samples = scheme.samples.get(column, ())
        if not samples or not 0 < number <= len(values):
            continue
        if operator == "=":
            values[number - 1] = samples[seen[column] % len(samples)].low
            seen[column] += 1
            continue
        below = any(other == column and sign in (">", ">=") for _, other, sign in compared)
        ranged = samples[-1] if below or operator in (">", ">=") else samples[0]
        values[number - 1] = (ranged.high or ranged.low) if operator == "<" else ranged.low
    return tuple(values)


def _by_type(scheme: Scheme, type_: str) -> str:
    if type_ == "interval":
        return "'1 day'"
    for column, samples in scheme.samples.items():
        if samples and scheme.types.get(column) == type_:
            return samples[-1].low
    return "NULL"
