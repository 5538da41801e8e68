"""Bounds of partitions: which rows belong to which, whether two overlap, where a set leaves a gap, and their
SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import combinations, pairwise
from math import gcd, lcm
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


def check_sql(
    bound: Bound, key: Sequence[str], parent: QualifiedName, *, row: str | None = None
) -> str | None:
    """The condition of a CHECK constraint that spares ATTACH PARTITION its scan; None where no condition
    does.

    Args:
        bound: of the partition.
        key: the columns of the partition key.
        parent: the table it will be attached to; hash partitioning depends on it, and it must exist already.
        row: as SQL, what the columns are taken from, such as "NEW"; columns stand alone without it.
    """
    prefix = "" if row is None else f"{row}."
    column = f"{prefix}{quote(key[0])}"
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
            # Right for every key, but a server never takes it for the bound where a key column is a text: the call
            # in its own condition is without a collation, which none that is written can be.
            columns = ", ".join(f"{prefix}{quote(name)}" for name in key)
            relation = f"{literal(parent.full)}::regclass::oid"
            return f"satisfies_hash_partition({relation}, {modulus}, {remainder}, {columns})"
        case DefaultBound() | OpaqueBound():
            return None
        case _:
            assert_never(bound)


def route_sql(
    partitions: Sequence[Partition], key: Sequence[str], parent: QualifiedName, *, row: str = "NEW"
) -> str | None:
    """An expression for the name of the partition that a row belongs to, NULL where none takes it; None where a
    bound cannot be written as a condition.

    Args:
        parent: partitioned by this key; for hash partitions it must exist.
        row: as SQL, what the key columns are taken from.
    """
    branches, otherwise = [], "NULL"
    for partition in partitions:
        if isinstance(partition.bound, DefaultBound):
            otherwise = literal(partition.name)
            continue
        condition = check_sql(partition.bound, key, parent, row=row)
        if condition is None:
            return None
        branches.append(f"WHEN {condition} THEN {literal(partition.name)}")
    if not branches:
        return otherwise
    return f"CASE {' '.join(branches)} ELSE {otherwise} END"


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
            return (one.remainder - other.remainder) % gcd(one.modulus, other.modulus) == 0
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


def tiles(whole: Bound, pieces: Sequence[Bound]) -> bool:
    """True where each key of `whole` belongs to exactly one of `pieces`, and no other key to any.

    The pieces of a default partition are bounds beside one that is DEFAULT again.
    """
    match whole:
        case RangeBound():
            ranges = [bound for _, bound in sorted_ranges(Partition("", bound) for bound in pieces)]
            if not ranges or len(ranges) < len(pieces):
                return False
            ends = (ranges[0].lower, ranges[-1].upper) == (whole.lower, whole.upper)
            return ends and all(
                low.upper is not None and low.upper == high.lower for low, high in pairwise(ranges)
            )
        case ListBound(values):
            taken = [value for bound in pieces if isinstance(bound, ListBound) for value in bound.values]
            alike = all(isinstance(bound, ListBound) for bound in pieces)
            return alike and len(taken) == len(set(taken)) and set(taken) == set(values)
        case HashBound(modulus):
            hashed = [bound for bound in pieces if isinstance(bound, HashBound) and covers(whole, bound)]
            if len(hashed) < len(pieces) or any(overlap(*pair) for pair in combinations(hashed, 2)):
                return False
            return bool(hashed) and _together(hashed) == modulus
        case DefaultBound():
            return DefaultBound() in pieces and not any(overlap(*pair) for pair in combinations(pieces, 2))
        case OpaqueBound():
            return list(pieces) == [whole]
        case _:
            assert_never(whole)


def union(bounds: Sequence[Bound]) -> Bound | None:
    """The one bound that `bounds` tile; None where PostgreSQL has none: a gap between ranges, remainders of a hash
    that make no remainder of a smaller modulus, a default partition.
    """
    first, *others = bounds
    whole: Bound | None = None
    match first:
        case _ if not others:
            return first
        case RangeBound():
            ranges = [bound for _, bound in sorted_ranges(Partition("", bound) for bound in bounds)]
            whole = RangeBound(ranges[0].lower, ranges[-1].upper)
        case ListBound():
            taken = (value for bound in bounds if isinstance(bound, ListBound) for value in bound.values)
            whole = ListBound(tuple(taken))
        case HashBound():
            modulus = _together([bound for bound in bounds if isinstance(bound, HashBound)])
            whole = HashBound(modulus, first.remainder % modulus) if modulus else None
        case DefaultBound() | OpaqueBound():
            pass
        case _:
            assert_never(first)
    return whole if whole is not None and tiles(whole, bounds) else None


def first_overlap(partitions: Sequence[Partition]) -> tuple[Partition, Partition] | None:
    """Two of `partitions` that claim the same keys, if any do."""
    ranges = sorted_ranges(partitions)
    for (left, low), (right, high) in pairwise(ranges):
        if overlap(low, high):
            return left, right
    owner: dict[Value | None, Partition] = {}
    for partition in partitions:
        for value in partition.bound.values if isinstance(partition.bound, ListBound) else ():
            if owner.setdefault(value, partition) is not partition:
                return owner[value], partition
    others = [
        partition for partition in partitions if not isinstance(partition.bound, RangeBound | ListBound)
    ]
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


def _together(bounds: Sequence[HashBound]) -> int | None:
    """The modulus of a bound that takes as many keys as all of `bounds`; None where there is none."""
    common = lcm(*(bound.modulus for bound in bounds))
    modulus, rest = divmod(common, sum(common // bound.modulus for bound in bounds))
    return modulus if modulus and not rest else None


def _before(lower: Value | None, upper: Value | None) -> bool:
    return lower is None or upper is None or less(lower, upper)
