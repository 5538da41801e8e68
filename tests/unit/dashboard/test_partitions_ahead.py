"""How many days the partitions of a table will last."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from evolve.app.partitions_ahead import days_left
from evolve.plugin_api import DefaultBound, HashBound, Partition, RangeBound

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("upper", "days"),
    [
        (datetime(2026, 5, 3, 12, tzinfo=UTC), 2.5),
        (datetime(2026, 5, 3), 2),  # noqa: DTZ001  # of a column without time zone
        (date(2026, 5, 8), 7),
        (datetime(2026, 4, 30, tzinfo=UTC), -1),
        (1_000_000, None),
        (None, None),
    ],
)
def test_the_last_bound_counts(upper: object, days: float | None) -> None:
    first = Partition("first", RangeBound(None, date(2026, 4, 30) if isinstance(upper, date) else upper))  # type: ignore[arg-type]
    last = Partition("last", RangeBound(None, upper))  # type: ignore[arg-type]
    assert days_left((last, first), NOW) == days


def test_other_methods_have_no_days() -> None:
    assert days_left((Partition("a", HashBound(2, 0)), Partition("b", DefaultBound())), NOW) is None
