"""Parameters written as SQL literals."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address

import pytest
from sqlalchemy.sql.elements import quoted_name

from evolve.revisions.literals import CannotAdapt, JsonValue, RangeValue, literal, render


class Mood(enum.Enum):
    HAPPY = 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "NULL"),
        (True, "true"),
        (1, "1"),
        (-1, "(-1)"),
        (1.5, "1.5"),
        (float("nan"), "'nan'::float8"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), "'NaN'::numeric"),
        ("it's", "'it''s'"),
        ("a\\b", "'a\\b'"),
        (quoted_name("it's", quote=True), "'it''s'"),
        (b"\x00\xff", "'\\x00ff'::bytea"),
        (memoryview(b"a"), "'\\x61'::bytea"),
        (date(2024, 1, 2), "'2024-01-02'::date"),
        (time(1, 2, 3), "'01:02:03'::time"),
        (datetime(2024, 1, 2, 3, 4, 5), "'2024-01-02 03:04:05'::timestamp"),  # noqa: DTZ001  # a naive one is meant
        (datetime(2024, 1, 2, tzinfo=UTC), "'2024-01-02 00:00:00+00:00'::timestamptz"),
        (timedelta(days=1, seconds=2, microseconds=3), "'1 days 2.000003 seconds'::interval"),
        (uuid.UUID(int=1), "'00000000-0000-0000-0000-000000000001'::uuid"),
        (Mood.HAPPY, "'HAPPY'"),
        (ip_address("10.0.0.1"), "'10.0.0.1'"),
        ([1, 2], "ARRAY[1, 2]"),
        ([], "'{}'"),
        ([None], "'{NULL}'"),
        ([[1], [2]], "ARRAY[ARRAY[1], ARRAY[2]]"),
        (["a,b", 'c"d', "e'f", "g\\h", None], """'{"a,b","c\\"d",e''f,"g\\\\h",NULL}'"""),
        ([["a"], ["b"]], """'{{a},{b}}'"""),
        ((1, "a"), "(1, 'a')"),
        ({"a": "it's"}, "'{\"a\": \"it''s\"}'"),
        (JsonValue(["x"]), "'[\"x\"]'"),
        (JsonValue(None), "'null'"),
        (RangeValue(1, None), "'[\"1\",)'"),
        (RangeValue(empty=True), "'empty'"),
    ],
)
def test_literals(value: object, expected: str) -> None:
    assert literal(value) == expected


def test_what_no_driver_could_send() -> None:
    with pytest.raises(CannotAdapt, match="object"):
        literal(object())


def test_a_nul_character_has_no_literal() -> None:
    with pytest.raises(ValueError, match="NUL"):
        literal("a\0b")


@pytest.mark.parametrize(
    ("sql", "parameters", "expected"),
    [
        ("SELECT %(a)s::VARCHAR", {"a": "x"}, "SELECT 'x'::VARCHAR"),
        ("SELECT %(a)s, %(a)s", {"a": 1}, "SELECT 1, 1"),
        ("SELECT %s, %s", (1, "%s"), "SELECT 1, '%s'"),
        ("LIKE '%%a' AND b = %s", [2], "LIKE '%a' AND b = 2"),
        ("DEFAULT '5%%'", {}, "DEFAULT '5%'"),
        ("LIKE 'a%'", {}, "LIKE 'a%'"),
        ("LIKE '%s'", (), "LIKE '%s'"),
        ("LIKE '%%'", None, "LIKE '%%'"),
        ("SELECT %(a)s", {"a": "%(b)s"}, "SELECT '%(b)s'"),
    ],
)
def test_placeholders(sql: str, parameters: object, expected: str) -> None:
    assert render(sql, parameters) == expected


@pytest.mark.parametrize(("sql", "parameters"), [("%(b)s", {"a": 1}), ("%s, %s", (1,))])
def test_a_parameter_that_is_not_given(sql: str, parameters: object) -> None:
    with pytest.raises((KeyError, IndexError)):
        render(sql, parameters)
