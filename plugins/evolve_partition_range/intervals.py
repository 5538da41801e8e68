"""Intervals of the calendar: from a moment to the interval it lies in, and to where that begins."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

Unit = Literal["hour", "day", "month"]

# What a user may write → the unit it is counted in, and how many.
_UNITS: dict[str, tuple[Unit, int]] = {
    "hour": ("hour", 1),
    "day": ("day", 1),
    "week": ("day", 7),
    "month": ("month", 1),
    "quarter": ("month", 3),
    "year": ("month", 12),
}
NAMES = tuple(_UNITS)

_MONDAY = date(1970, 1, 5).toordinal()  # weeks begin on Mondays, as in ISO 8601
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # a moment of the local calendar, not of a zone
_LAST_MONTH = 9999 * 12 + 11


@dataclass(frozen=True, slots=True)
class Interval:
    """`count` times `unit`, aligned so that a moment always falls into the same interval: hours and days to
    1970, whole weeks to Mondays, months to the year.
    """

    unit: Unit
    count: int

    def number(self, local: datetime) -> int:
        """Which interval `local`, a moment without zone, lies in; neighbours differ by 1."""
        match self.unit:
            case "hour":
                hours = (local - _EPOCH) // timedelta(hours=1)
                return hours // self.count
            case "day":
                return (local.toordinal() - self._first_day) // self.count
            case "month":
                return (local.year * 12 + local.month - 1) // self.count

    def start(self, number: int) -> datetime | None:
        """Where interval `number` begins; None where that is outside of the years 1 to 9999."""
        match self.unit:
            case "hour":
                try:
                    return _EPOCH + timedelta(hours=number * self.count)
                except OverflowError:
                    return None
            case "day":
                ordinal = number * self.count + self._first_day
                if not date.min.toordinal() <= ordinal <= date.max.toordinal():
                    return None
                return datetime.combine(date.fromordinal(ordinal), time())
            case "month":
                months = number * self.count
                if not 12 <= months <= _LAST_MONTH:
                    return None
                return datetime(months // 12, months % 12 + 1, 1)  # noqa: DTZ001

    @property
    def _first_day(self) -> int:
        return _MONDAY if self.count % 7 == 0 else _EPOCH_DAY

    def after(self, local: datetime) -> datetime:
        """`local` and one interval, at most the end of 9999; the 31st becomes a month's last day."""
        return self._shifted(local, self.count, datetime.max)  # noqa: DTZ901

    def before(self, local: datetime) -> datetime:
        """`local` less one interval, at least the beginning of the year 1."""
        return self._shifted(local, -self.count, datetime.min)  # noqa: DTZ901

    def _shifted(self, local: datetime, count: int, end: datetime) -> datetime:
        try:
            match self.unit:
                case "hour":
                    return local + timedelta(hours=count)
                case "day":
                    return local + timedelta(days=count)
                case "month":
                    months = local.year * 12 + local.month - 1 + count
                    if not 12 <= months <= _LAST_MONTH:
                        return end
                    year, month = months // 12, months % 12 + 1
                    return local.replace(
                        year=year, month=month, day=min(local.day, monthrange(year, month)[1])
                    )
        except OverflowError:
            return end

    def __str__(self) -> str:
        name, size = next(
            (name, size)
            for name, (unit, size) in reversed(_UNITS.items())
            if unit == self.unit and self.count % size == 0
        )
        times = self.count // size
        return f"{times} {name}{'' if times == 1 else 's'}"


def read_interval(text: str) -> Interval | None:
    """Read "month", "1 month", "3 hours"; None where it is no such thing."""
    match = re.fullmatch(r"\s*(?:(\d{1,6})\s+)?([a-z]+?)s?\s*", text.lower())
    if match is None or match[2] not in _UNITS:
        return None
    unit, count = _UNITS[match[2]]
    times = int(match[1] or 1)
    return Interval(unit, count * times) if times else None


def to_instant(local: datetime, zone: tzinfo) -> datetime | None:
    """The moment at which clocks in `zone` show `local`, in UTC; None where UTC has no such year.

    Where the clocks skip it, the moment they jump; where they show it twice, the first.
    """
    try:
        return local.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return None


def to_local(instant: datetime, zone: tzinfo) -> datetime:
    """What clocks in `zone` show at `instant`, without zone; the nearest they can where the year runs out."""
    try:
        return instant.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        return instant.replace(tzinfo=None)
