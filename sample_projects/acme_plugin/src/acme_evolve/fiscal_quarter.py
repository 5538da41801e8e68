"""The partitioner "fiscal-quarter": a partition for each quarter of a fiscal year that begins in any month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import ClassVar, Literal, Self

from evolve.plugin_api import (
    MOST_PARTITIONS,
    Bound,
    NotAdopted,
    Options,
    Partition,
    Partitioner,
    Problem,
    Problems,
    Profile,
    RangeBound,
    TableInfo,
    TooManyPartitions,
    Value,
    less,
    partition_name,
    unknown_options,
)

MOST_AHEAD = 40  # ten years


@dataclass(frozen=True, slots=True)
class FiscalQuarter(Partitioner):
    """Args:
    column: the key, a date or a timestamp with time zone.
    dates: whether it is a date; the days of a timestamp are those of UTC.
    first_month: of the fiscal year, 1 to 12.
    premake: how many quarters after the present one are kept ready.
    """

    column: str
    dates: bool
    first_month: int
    premake: int = 2

    kind: ClassVar[str] = "fiscal-quarter"
    method: ClassVar[Literal["range", "list", "hash"]] = "range"

    @classmethod
    def parse(cls, options: Options, table: TableInfo) -> Self | Problems:
        problems = unknown_options(options, ("key", "first_month", "premake"))
        column = table.column(str(options.get("key")))
        if column is None or column.type not in {"date", "timestamp with time zone"}:
            problems.append(Problem("key", "name a column of type date or timestamp with time zone"))
        first_month = _whole(options.get("first_month"), 1, 12)
        if first_month is None:
            problems.append(Problem("first_month", "say in which month the fiscal year begins, 1 to 12"))
        premake = _whole(options.get("premake", 2), 0, MOST_AHEAD)
        if premake is None:
            problems.append(Problem("premake", f"say how many quarters to keep ready, 0 to {MOST_AHEAD}"))
        if column is None or first_month is None or premake is None or problems:
            return Problems(tuple(problems))
        return cls(column.name, column.type == "date", first_month, premake)

    @property
    def key(self) -> tuple[str, ...]:
        return (self.column,)

    def wanted(self, now: datetime, profile: Profile) -> Sequence[Bound]:
        lowest, present, highest = self._quarters(now, profile)
        first, last = min(lowest, present), max(highest, present + self.premake)
        if last - first >= MOST_PARTITIONS:
            raise TooManyPartitions(last - first + 1, str(self._start(first)), str(self._start(last + 1)))
        return [RangeBound(self._start(number), self._start(number + 1)) for number in range(first, last + 1)]

    def name(self, table: str, bound: Bound) -> str:
        if not isinstance(bound, RangeBound):
            raise TypeError(bound)
        if bound.lower is None:
            return partition_name(table, f"before_{self._label(bound.upper)}")
        following = self._start(self._quarter(bound.lower) + 1)
        if bound.upper == following:
            return partition_name(table, self._label(bound.lower))
        return partition_name(table, f"{self._label(bound.lower)}_to_{self._label(bound.upper)}")

    def adopt(self, profile: Profile, now: datetime) -> Bound | NotAdopted:
        _, present, highest = self._quarters(now, profile)
        # A whole quarter more than there is, so that nothing is refused while the bound is being checked.
        return RangeBound(None, self._start(max(present, highest) + 2))

    def split(
        self, partition: Partition, profile: Profile, now: datetime, how: Options
    ) -> Sequence[Bound] | Problems:
        """The quarters of a partition that takes several; what lies before its first row stays together."""
        problems = unknown_options(how, ())
        if not isinstance(partition.bound, RangeBound):
            problems.append(Problem("split", f"{partition.name} is no range"))
            return Problems(tuple(problems))
        lower, upper = partition.bound.lower, partition.bound.upper
        low, high = lower or profile.low, upper or profile.high
        if low is None or high is None or problems:
            problems.append(Problem("split", f"{partition.name} holds no rows that tell where to begin"))
            return Problems(tuple(problems))
        starts = [self._start(number) for number in range(self._quarter(low), self._quarter(high) + 2)]
        cuts = [start for start in starts if start is not None and _inside(partition.bound, start)]
        if not cuts:
            return Problems((Problem("split", f"{partition.name} is one quarter already"),))
        return [RangeBound(one, other) for one, other in pairwise((lower, *cuts, upper))]

    def _quarters(self, now: datetime, profile: Profile) -> tuple[int, int, int]:
        """The quarters of the lowest row, of `now` and of the highest row."""
        present = self._quarter(now)
        lowest = present if profile.low is None else self._quarter(profile.low)
        highest = present if profile.high is None else self._quarter(profile.high)
        return lowest, present, highest

    def _quarter(self, value: Value) -> int:
        """Quarters since the year 0, counted in fiscal years; neighbours differ by 1."""
        day = _day(value)
        return (day.year * 12 + day.month - self.first_month) // 3

    def _start(self, quarter: int) -> Value | None:
        """The first moment of a quarter; None outside of the years 1 to 9999."""
        year, month = divmod(quarter * 3 + self.first_month - 1, 12)
        if not 1 <= year <= 9999:
            return None
        return date(year, month + 1, 1) if self.dates else datetime(year, month + 1, 1, tzinfo=UTC)

    def _label(self, value: Value | None) -> str:
        """`fy2027_q1`, the fiscal year that ends in 2027; a day that begins no quarter as `20270115`."""
        if value is None:
            return "max"
        quarter = self._quarter(value)
        if self._start(quarter) != value:
            return "".join(filter(str.isdigit, str(value)))
        year, number = divmod(quarter, 4)
        return f"fy{year if self.first_month == 1 else year + 1}_q{number + 1}"


def _inside(bound: RangeBound, start: Value) -> bool:
    """True where `start` cuts `bound` into two that both take keys."""
    above = bound.lower is None or less(bound.lower, start)
    return above and (bound.upper is None or less(start, bound.upper))


def _day(value: Value) -> date:
    match value:
        case datetime():
            return value.astimezone(UTC).date()
        case date():
            return value
        case _:
            raise TypeError(value)


def _whole(value: object, least: int, most: int) -> int | None:
    """`value` as a whole number, also from the text of a command line; None if it is not one from least to most."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and least <= value <= most else None
