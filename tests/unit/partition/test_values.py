"""Bounds are read back from what the server prints."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from evolve.partition.values import read_bound, read_value
from evolve.sql.bounds import Bound, DefaultBound, HashBound, ListBound, OpaqueBound, RangeBound

ZONED = "timestamp with time zone"


@pytest.mark.parametrize(
    ("text", "type_", "bound"),
    [
        ("DEFAULT", "integer", DefaultBound()),
        ("FOR VALUES WITH (modulus 8, remainder 3)", "bigint", HashBound(8, 3)),
        ("FOR VALUES FROM (1) TO (100)", "integer", RangeBound(1, 100)),
        ("FOR VALUES FROM ('-5') TO ('9223372036854775807')", "bigint", RangeBound(-5, 2**63 - 1)),
        ("FOR VALUES FROM (MINVALUE) TO ('2026-01-01')", "date", RangeBound(None, date(2026, 1, 1))),
        (
            "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO (MAXVALUE)",
            ZONED,
            RangeBound(datetime(2026, 1, 1, tzinfo=UTC), None),
        ),
        ("FOR VALUES IN ('eu', 'it''s', NULL)", "text", ListBound(("eu", "it's", None))),
        ("FOR VALUES IN (1, 2)", "integer", ListBound((1, 2))),
        (
            "FOR VALUES FROM ('0001-01-01 00:00:00+00 BC') TO ('2026-01-01 00:00:00+00')",
            ZONED,
            OpaqueBound("FOR VALUES FROM ('0001-01-01 00:00:00+00 BC') TO ('2026-01-01 00:00:00+00')"),
        ),
        ("FOR VALUES FROM (1, 2) TO (3, 4)", "integer", OpaqueBound("FOR VALUES FROM (1, 2) TO (3, 4)")),
        (
            "FOR VALUES FROM ('infinity') TO (MAXVALUE)",
            "date",
            OpaqueBound("FOR VALUES FROM ('infinity') TO (MAXVALUE)"),
        ),
    ],
)
def test_bounds(text: str, type_: str, bound: Bound) -> None:
    assert read_bound(text, type_) == bound


def test_values_take_the_kind_of_their_type() -> None:
    assert read_value("00000000-0000-0000-0000-000000000001", "uuid") == UUID(int=1)
    assert read_value("1.50", "numeric(10,2)") == Decimal("1.50")
    assert read_value("x", "text") == "x"


@pytest.mark.parametrize("text", ["infinity", "10000-01-01 00:00:00+00", "0044-03-15 00:00:00+00 BC"])
def test_what_python_cannot_reckon_with_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_value(text, ZONED)
