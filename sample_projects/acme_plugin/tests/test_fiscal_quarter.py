"""Fiscal quarters keep evolve's contract for partitioners, and begin and are called as at Acme."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from acme_evolve import plugin
from acme_evolve.fiscal_quarter import FiscalQuarter
from evolve.plugin_api import Column, Partition, Problems, Profile, QualifiedName, RangeBound, TableInfo
from evolve.testing.partitioner_contract import PartitionerContract

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
TABLE = TableInfo(
    QualifiedName("invoices"),
    (
        Column("id", "bigint", not_null=True),
        Column("day", "date", not_null=True),
        Column("created_at", "timestamp with time zone", not_null=True),
    ),
    ("id",),
)


def made(**options: object) -> FiscalQuarter:
    answer = FiscalQuarter.parse(options, TABLE)
    assert isinstance(answer, FiscalQuarter), answer
    return answer


class TestTimestamps(PartitionerContract):
    partitioner = made(key="created_at", first_month=4)
    profiles = (
        Profile(),
        Profile(datetime(2024, 3, 31, 23, 59, tzinfo=UTC), datetime(2027, 4, 1, tzinfo=UTC), rows=9),
    )


class TestDates(PartitionerContract):
    partitioner = made(key="day", first_month=2, premake=0)
    profiles = (Profile(), Profile(date(2025, 1, 31), date(2026, 2, 1)))


@pytest.mark.parametrize(
    ("first_month", "name", "first_day"),
    [
        (1, "invoices_fy2026_q4", date(2026, 10, 1)),
        (4, "invoices_fy2027_q3", date(2026, 10, 1)),
        (11, "invoices_fy2027_q1", date(2026, 11, 1)),
        (12, "invoices_fy2026_q4", date(2026, 9, 1)),
    ],
)
def test_a_quarter_is_called_after_the_fiscal_year_it_belongs_to(
    first_month: int, name: str, first_day: date
) -> None:
    [partition, *_] = made(key="day", first_month=first_month).initial("invoices", Profile(), NOW)
    assert isinstance(partition.bound, RangeBound)
    assert (partition.name, partition.bound.lower) == (name, first_day)


def test_midnight_is_that_of_utc() -> None:
    [first, *_] = made(key="created_at", first_month=4).wanted(NOW, Profile())
    assert first == RangeBound(datetime(2026, 10, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def test_premake_counts_the_quarters_after_the_present_one() -> None:
    assert len(made(key="day", first_month=4, premake=3).wanted(NOW, Profile())) == 4


def test_an_adopted_table_is_called_after_its_upper_bound() -> None:
    quarters = made(key="day", first_month=4)
    bound = quarters.adopt(Profile(date(2020, 1, 1), date(2026, 11, 1), rows=5), NOW)
    assert quarters.name("invoices", bound) == "invoices_before_fy2028_q1"


def test_history_is_split_into_quarters() -> None:
    quarters = made(key="day", first_month=4)
    history = Partition("invoices_before_fy2027_q3", RangeBound(None, date(2026, 10, 1)))
    pieces = quarters.split(history, Profile(date(2026, 4, 2), date(2026, 9, 30)), NOW, {})
    assert not isinstance(pieces, Problems)
    assert [quarters.name("invoices", piece) for piece in pieces] == [
        "invoices_before_fy2027_q1",
        "invoices_fy2027_q1",
        "invoices_fy2027_q2",
    ]


def test_options_of_the_command_line_are_text() -> None:
    assert made(key="day", first_month="4", premake="1") == made(key="day", first_month=4, premake=1)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"key": "id", "first_month": 4}, "key"),
        ({"key": "nothing", "first_month": 4}, "key"),
        ({"key": "day"}, "first_month"),
        ({"key": "day", "first_month": 13}, "first_month"),
        ({"key": "day", "first_month": 4, "premake": -1}, "premake"),
    ],
)
def test_what_is_wrong_is_named(options: dict[str, object], field: str) -> None:
    answer = FiscalQuarter.parse(options, TABLE)
    assert isinstance(answer, Problems)
    assert [problem.field for problem in answer.found] == [field]


def test_the_plugin_offers_it() -> None:
    assert plugin.partitioners == [FiscalQuarter]
