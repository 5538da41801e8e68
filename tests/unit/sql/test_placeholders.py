"""Placeholders of drivers, made into those of the server."""

from __future__ import annotations

import pytest

from evolve.sql.placeholders import cast_after, numbered


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a = %s AND b IN (%s, %s)", "a = $1 AND b IN ($2, $3)"),
        ("a = %(x)s OR b = %(y)s OR c = %(x)s", "a = $1 OR b = $2 OR c = $1"),
        ("a = :x OR b = :x", "a = $1 OR b = $1"),
        ("a = $2 AND b = :x", "a = $2 AND b = $3"),
        ("a::text = ':x %s' -- :x\n AND \"b:c\" = /* :y */ $1", None),
        ("a[1:2] = '{}' AND b LIKE '%s' AND c = E':x'", None),
    ],
)
def test_each_gets_a_number(written: str, expected: str | None) -> None:
    assert numbered(written) == (expected or written)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("at > date $1", "at > $1::date"),
        ("at > now() - interval $2", "at > now() - $2::interval"),
        ("at > timestamp with time zone $1", "at > $1::timestamp with time zone"),
        ("update_date = $1", "update_date = $1"),
    ],
)
def test_a_type_before_a_constant_becomes_a_cast(kept: str, expected: str) -> None:
    assert cast_after(kept) == expected
