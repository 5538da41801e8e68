"""Overlaps and gaps of bounds, and their SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.sql.bounds import (
    Bound,
    DefaultBound,
    HashBound,
    ListBound,
    Partition,
    RangeBound,
    bound_sql,
    check_sql,
    covers,
    first_overlap,
    gaps,
    overlap,
)
from evolve.sql.names import QualifiedName

TABLE = QualifiedName("orders")


def inside(bound: RangeBound, key: int) -> bool:
    return (bound.lower is None or bound.lower <= key) and (bound.upper is None or key < bound.upper)  # type: ignore[operator]


ends = st.none() | st.integers(-20, 20)
ranges = st.builds(RangeBound, ends, ends).filter(
    lambda b: b.lower is None or b.upper is None or b.lower < b.upper  # type: ignore[operator]
)


@given(ranges, ranges)
def test_overlap_is_a_shared_key(one: RangeBound, other: RangeBound) -> None:
    shared = any(inside(one, key) and inside(other, key) for key in range(-30, 31))
    assert overlap(one, other) == overlap(other, one) == shared


@given(ranges, ranges)
def test_covers_is_every_key(one: RangeBound, other: RangeBound) -> None:
    assert covers(one, other) == all(inside(one, key) for key in range(-30, 31) if inside(other, key))


@given(st.integers(1, 12), st.integers(0, 11), st.integers(1, 12), st.integers(0, 11))
def test_hash_bounds_overlap_where_a_hash_fits_both(m: int, r: int, n: int, s: int) -> None:
    small, large = sorted((m, n))
    if r >= m or s >= n or large % small:
        return  # PostgreSQL wants each modulus to divide the next
    shared = any(value % m == r and value % n == s for value in range(m * n))
    assert overlap(HashBound(m, r), HashBound(n, s)) == shared


def test_the_first_overlap_names_both() -> None:
    parts = [
        Partition("c", RangeBound(5, 9)),
        Partition("a", RangeBound(None, 3)),
        Partition("b", RangeBound(2, 5)),
    ]
    found = first_overlap(parts)
    assert found is not None
    assert {partition.name for partition in found} == {"a", "b"}


def test_lists_overlap_in_a_value() -> None:
    parts = [
        Partition("a", ListBound(("x", None))),
        Partition("b", ListBound(("y",))),
        Partition("c", ListBound((None,))),
    ]
    assert first_overlap(parts) == (parts[0], parts[2])


def test_gaps_lie_between() -> None:
    parts = [
        Partition("b", RangeBound(7, 9)),
        Partition("a", RangeBound(1, 3)),
        Partition("c", RangeBound(9, None)),
    ]
    assert gaps(parts) == [RangeBound(3, 7)]


@pytest.mark.parametrize(
    ("bound", "sql", "check"),
    [
        (RangeBound(None, 5), "FOR VALUES FROM (MINVALUE) TO ('5')", '"at" IS NOT NULL AND "at" < \'5\''),
        (
            RangeBound(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))), None),
            "FOR VALUES FROM ('2025-12-31 22:00:00+00') TO (MAXVALUE)",
            '"at" IS NOT NULL AND "at" >= \'2025-12-31 22:00:00+00\'',
        ),
        (ListBound(("it's", None)), "FOR VALUES IN ('it''s', NULL)", "\"at\" IS NULL OR \"at\" IN ('it''s')"),
        (ListBound((None,)), "FOR VALUES IN (NULL)", '"at" IS NULL'),
        (
            HashBound(4, 1),
            "FOR VALUES WITH (MODULUS 4, REMAINDER 1)",
            "satisfies_hash_partition('public.orders'::regclass::oid, 4, 1, \"at\")",
        ),
        (DefaultBound(), "DEFAULT", None),
    ],
)
def test_sql(bound: Bound, sql: str, check: str | None) -> None:
    assert bound_sql(bound) == sql
    found = check_sql(bound, ("at",), TABLE)
    assert (found or "").replace('"', "") == (check or "").replace('"', "")


def test_a_moment_is_written_in_utc() -> None:
    assert "2026-01-01 00:00:00+00" in bound_sql(RangeBound(datetime(2026, 1, 1, tzinfo=UTC), None))
