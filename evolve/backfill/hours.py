"""Times of the day and days of the week in which a run may work, by the clock on the wall of a zone.

The clock on the wall decides: an hour that a change to summer time leaves out does not come, and one that a change back
doubles comes twice.
"""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from evolve.errors import Misuse
from evolve.values import dataclass

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = 24 * 60  # minutes
_LOOK_AHEAD = (
    15 * _DAY
)  # minutes: the day after a window that a change of the clock left out, of one day a week

_WRITTEN = re.compile(
    r"(?:(?P<days>[A-Za-z]+(?:\s*[-,]\s*[A-Za-z]+)*)\s+)?(?P<from>\d{1,2}:\d\d)\s*-\s*(?P<to>\d{1,2}:\d\d)"
    r"(?:\s+(?P<zone>\S+))?",
    re.ASCII,
)


class BadWindow(Misuse):
    def __init__(self, text: str, reason: str, fix: str | None = None) -> None:
        self.reason = reason
        super().__init__(
            f'the window "{text}" cannot be used: {reason}',
            fix=fix or 'write it as "22:00-06:00 Europe/Berlin", or "Mon-Fri 22:00-06:00 UTC"',
        )


@dataclass(frozen=True, slots=True)
class Hours:
    """
    Args:
        days: 0 is Monday; the day on which it opens, also where it closes on the next.
        opens, closes: minutes since midnight; where it closes earlier than it opens, that is on the next day.
        zone: name of a time zone.
    """

    text: str
    days: frozenset[int]
    opens: int
    closes: int
    zone: str

    @staticmethod
    def parse(text: str) -> Hours:
        """
        Raises:
            BadWindow: it is not written as one, its zone does not exist, or it never opens.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise BadWindow(text, "it is not written as one")
        opens, closes = _minutes(text, found["from"]), _minutes(text, found["to"])
        if opens == _DAY:
            raise BadWindow(text, "no day begins at 24:00")
        if opens == closes:
            raise BadWindow(text, "it never opens", 'for a whole day write "00:00-24:00"')
        if found["zone"] is None:
            raise BadWindow(text, "it has no time zone", f'say whose clock is meant: "{text.strip()} UTC"')
        _zone(text, found["zone"])
        return Hours(text.strip(), _days(text, found["days"]), opens, closes, found["zone"])

    def open(self, now: datetime) -> bool:
        """
        Args:
            now: with a time zone of whatever name.
        """
        local = now.astimezone(_zone(self.text, self.zone))
        minute = local.hour * 60 + local.minute
        if self.opens < self.closes:
            return self.opens <= minute < self.closes and local.weekday() in self.days
        if minute >= self.opens:
            return local.weekday() in self.days
        return minute < self.closes and (local.weekday() - 1) % 7 in self.days


def next_opening(windows: tuple[Hours, ...], now: datetime) -> datetime | None:
    """The minute from which on one of `windows` is open, in its own zone; None where none opens in two weeks."""
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)
    for ahead in range(1, _LOOK_AHEAD):
        then = minute + timedelta(minutes=ahead)
        for window in windows:
            if window.open(then):
                return then.astimezone(_zone(window.text, window.zone))
    return None


def _minutes(text: str, time: str) -> int:
    hour, _, minute = time.partition(":")
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > _DAY:
        raise BadWindow(text, f"{time} is no time of the day")
    return found


def _days(text: str, written: str | None) -> frozenset[int]:
    if written is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in written.split(","):
        first, _, last = (word.strip() for word in part.partition("-"))
        begin = _day(text, first)
        end = _day(text, last) if last else begin
        found.update((begin + offset) % 7 for offset in range((end - begin) % 7 + 1))
    return frozenset(found)


def _day(text: str, name: str) -> int:
    for number, day in enumerate(DAYS):
        if name.lower() in (day.lower(), _LONG[number]):
            return number
    raise BadWindow(text, f'"{name}" is no day of the week', f"days are {', '.join(DAYS)}")


_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@cache
def _zone(text: str, name: str) -> tzinfo:
    if name.upper() == "UTC":
        return UTC  # there also where no time zones are installed
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = sorted(available_timezones())
        near = difflib.get_close_matches(name, known, n=1)
        if not known:
            fix = "this machine has no time zones: pip install tzdata, or use UTC"
        elif near:
            fix = f'did you mean "{near[0]}"?'
        else:
            fix = "name one such as Europe/Berlin, or UTC"
        raise BadWindow(text, f'there is no time zone "{name}"', fix) from None
