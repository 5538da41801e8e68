"""Bounds of partitions: which rows belong to which, whether two overlap, where a set leaves a gap, and their
SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import assert_never, cast
from uuid import UUID

from evolve.sql.names import QualifiedName, literal, quote
from evolve.values import dataclass

Value = int | str | datetime | date | Decimal | UUID


@dataclass(frozen=True, slots=True)
class RangeBound:
    """`lower <= key < upper`. None below is MINVALUE, None above is MAXVALUE. One key column."""

    lower: Value | None
    upper: Value | None


@dataclass(frozen=True, slots=True)
class ListBound:
    """`key` is one of `values`; None stands for NULL."""

    values: tuple[Value | None, ...]


@dataclass(frozen=True, slots=True)
class HashBound:
    """The hash of the key leaves `remainder` when divided by `modulus`."""

    modulus: int
    remainder: int


@dataclass(frozen=True, slots=True)
class DefaultBound:
    """Whatever no other partition takes."""


@dataclass(frozen=True, slots=True)
class OpaqueBound:
    """A bound that somebody else wrote in a form that cannot be compared here: several columns, years before
    Christ.

    Args:
        sql: as `pg_get_expr` prints it.
    """

    sql: str


Bound = RangeBound | ListBound | HashBound | DefaultBound | OpaqueBound


@dataclass(frozen=True, slots=True)
class Partition:
    """Args:
    name: without schema; a partition lives in the schema of its table.
    """

    name: str
    bound: Bound


def bound_sql(bound: Bound) -> str:
    """`FOR VALUES …` or `DEFAULT`, as CREATE TABLE and ATTACH PARTITION take it."""
    match bound:
        case RangeBound(lower, upper):
            low = "MINVALUE" if lower is None else value_sql(lower)
            high = "MAXVALUE" if upper is None else value_sql(upper)
            return f"FOR VALUES FROM ({low}) TO ({high})"
        case ListBound(values):
            listed = ", ".join("NULL" if value is None else value_sql(value) for value in values)
            return f"FOR VALUES IN ({listed})"
        case HashBound(modulus, remainder):
            return f"FOR VALUES WITH (MODULUS {modulus}, REMAINDER {remainder})"
        case DefaultBound():
            return "DEFAULT"
        case OpaqueBound(sql):
            return sql
        case _:
            assert_never(bound)


def check_sql(bound: Bound, key: Sequence[str], parent: QualifiedName) -> str | None:
    """The condition of a CHECK constraint that spares ATTACH PARTITION its scan; None where no condition
    does.

    Args:
        bound: of the partition.
        key: the columns of the partition key.
        parent: the table it will be attached to; hash partitioning depends on it, and it must exist already.
    """
    column = quote(key[0])
    match bound:
        case RangeBound(lower, upper):
            # Without IS NOT NULL the server does not believe the CHECK and reads every row.
            terms = [f"{column} IS NOT NULL"]
            if lower is not None:
                terms.append(f"{column} >= {value_sql(lower)}")
            if upper is not None:
                terms.append(f"{column} < {value_sql(upper)}")
            return " AND ".join(terms)
        case ListBound(values):
            listed = ", ".join(value_sql(value) for value in values if value is not None)
            if not listed:
                return f"{column} IS NULL"
            if None in values:
                return f"{column} IS NULL OR {column} IN ({listed})"
            return f"{column} IS NOT NULL AND {column} IN ({listed})"
        case HashBound(modulus, remainder):
            columns = ", ".join(quote(name) for name in key)
            relation = f"{literal(parent.full)}::regclass::oid"
            return f"satisfies_hash_partition({relation}, {modulus}, {remainder}, {columns})"
        case DefaultBound() | OpaqueBound():
            return None
        case _:
            assert_never(bound)


def value_sql(value: Value) -> str:
    """A literal without a type, so that it takes the type of the column it is compared with."""
    match value:
        case datetime() if value.tzinfo is not None:
            return literal(f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ')}+00")
        case datetime():
            return literal(value.isoformat(sep=" "))
        case date():
            return literal(value.isoformat())
        case int() | Decimal() | UUID():
            return literal(str(value))
        case str():
            return literal(value)
        case _:
            assert_never(value)


def overlap(one: Bound, other: Bound) -> bool:
    """True where some key could belong to both. What cannot be compared is said to overlap nothing: the
    server judges.

    Raises:
        TypeError: the values are of kinds that have no order between them.
    """
    match one, other:
        case RangeBound(), RangeBound():
            return _before(one.lower, other.upper) and _before(other.lower, one.upper)
        case ListBound(), ListBound():
            return not set(one.values).isdisjoint(other.values)
        case HashBound(), HashBound():
            small, large = sorted((one, other), key=lambda bound: bound.modulus)
            return large.remainder % small.modulus == small.remainder
        case DefaultBound(), DefaultBound():
            return True
        case _:
            return False


def covers(outer: Bound, inner: Bound) -> bool:
    """True where every key of `inner` belongs to `outer`."""
    match outer, inner:
        case RangeBound(), RangeBound():
            low = outer.lower is None or (inner.lower is not None and not less(inner.lower, outer.lower))
            high = outer.upper is None or (inner.upper is not None and not less(outer.upper, inner.upper))
            return low and high
        case ListBound(), ListBound():
            return set(inner.values) <= set(outer.values)
        case HashBound(), HashBound():
            return inner.modulus % outer.modulus == 0 and inner.remainder % outer.modulus == outer.remainder
        case _:
            return outer == inner


def first_overlap(partitions: Sequence[Partition]) -> tuple[Partition, Partition] | None:
    """Two of `partitions` that claim the same keys, if any do."""
    ranges = sorted_ranges(partitions)
    for (left, low), (right, high) in pairwise(ranges):
        if overlap(low, high):
            return left, right
    others = [partition for partition in partitions if not isinstance(partition.bound, RangeBound)]
    for number, partition in enumerate(others):
        for later in others[number + 1 :]:
            if overlap(partition.bound, later.bound):
                return partition, later
    return None


def gaps(partitions: Sequence[Partition]) -> list[RangeBound]:
    """The ranges between the lowest and the highest of `partitions` that none of them takes."""
    ranges = [bound for _, bound in sorted_ranges(partitions)]
    return [
        RangeBound(low.upper, high.lower)
        for low, high in pairwise(ranges)
        if low.upper is not None and high.lower is not None and less(low.upper, high.lower)
    ]


def sorted_ranges(partitions: Iterable[Partition]) -> list[tuple[Partition, RangeBound]]:
    """The partitions with a range, lowest first."""
    found = [
        (partition, partition.bound) for partition in partitions if isinstance(partition.bound, RangeBound)
    ]
    lowest = [item for item in found if item[1].lower is None]
    rest = [item for item in found if item[1].lower is not None]
    return lowest + sorted(rest, key=lambda item: cast("int", item[1].lower))


def less(one: Value, other: Value) -> bool:
    """`one < other`; both must be of the same kind.

    Raises:
        TypeError: they have no order between them.
    """
    return cast("int", one) < cast("int", other)


def _before(lower: Value | None, upper: Value | None) -> bool:
    return lower is None or upper is None or less(lower, upper)
