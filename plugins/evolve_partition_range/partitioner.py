"""The partitioner "range": intervals of time in a zone, or of integers, as half-open ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from typing import ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evolve.plugin_api import (
    MOST_PARTITIONS,
    Bound,
    Column,
    NotAdopted,
    Options,
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
from evolve_partition_range.intervals import NAMES, Interval, read_interval, to_instant, to_local

Key = Literal["instant", "local", "date", "integer"]

_KEYS: dict[str, Key] = {
    "timestamp with time zone": "instant",
    "timestamp without time zone": "local",
    "date": "date",
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
}
_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_OPTIONS = ("key", "interval", "timezone", "premake")

AHEAD = 3  # intervals kept ready unless the user says otherwise
ADOPT_AHEAD = 2  # whole intervals of room that rows get while the table's bound is being checked


@dataclass(frozen=True, slots=True)
class Range(Partitioner):
    """Args:
    column: the key.
    key_kind: how its values are read: "instant" has a time zone, "local" has none.
    step: the width of one partition, in time or in keys.
    premake: how far beyond now (or beyond the greatest key) partitions are kept ready.
    zone: whose midnights count. Hours are those of UTC whatever the zone, so that none of them comes twice.
    largest: the greatest integer the column can hold; 0 where the key is no integer.
    """

    column: str
    key_kind: Key
    step: Interval | int
    premake: Interval | int
    zone: str = "UTC"
    largest: int = 0

    kind: ClassVar[str] = "range"
    method: ClassVar[Literal["range", "list", "hash"]] = "range"

    @classmethod
    def parse(cls, options: Options, table: TableInfo) -> Self | Problems:
        problems = unknown_options(options, _OPTIONS)
        column = _column(options, table, problems)
        zone = _zone(options, problems)
        kind = _KEYS[column.type] if column else None
        step = _step(options, kind, problems)
        premake = _premake(options, kind, step, problems)
        if column is None or kind is None or step is None or premake is None or problems:
            return Problems(tuple(problems))
        return cls(column.name, kind, step, premake, zone, _LARGEST.get(column.type, 0))

    @property
    def key(self) -> tuple[str, ...]:
        return (self.column,)

    def wanted(self, now: datetime, profile: Profile) -> Sequence[Bound]:
        first, last = self._span(now, profile)
        if last - first >= MOST_PARTITIONS:
            raise TooManyPartitions(last - first + 1, str(self._edge(first)), str(self._edge(last + 1)))
        bounds = (RangeBound(self._edge(number), self._edge(number + 1)) for number in range(first, last + 1))
        # A zone that skipped a whole day has a day without any moment in it.
        return [bound for bound in bounds if not _empty(bound)]

    def name(self, table: str, bound: Bound) -> str:
        if not isinstance(bound, RangeBound):
            raise TypeError(bound)
        if bound.lower is None:
            return partition_name(
                table, f"p_before_{self._label(bound.upper)}" if bound.upper is not None else "p_all"
            )
        label = f"p{self._label(bound.lower)}"
        if bound.upper == self._edge(self._number(bound.lower) + 1):
            return partition_name(table, label)
        return partition_name(
            table, f"{label}_to_{'max' if bound.upper is None else self._label(bound.upper)}"
        )

    def adopt(self, profile: Profile, now: datetime) -> Bound | NotAdopted:
        highest = self._number(profile.high) if profile.high is not None else None
        if self.key_kind == "integer":
            highest = highest or 0
        else:
            present = self._number(self._moment(now))
            highest = present if highest is None else max(highest, present)
        upper = self._edge(highest + 1 + ADOPT_AHEAD)
        if upper is None:
            return NotAdopted(
                f'"{self.column}" reaches so far that no bound lies {ADOPT_AHEAD} intervals ahead of it'
            )
        return RangeBound(None, upper)

    def _span(self, now: datetime, profile: Profile) -> tuple[int, int]:
        """Numbers of the first and of the last interval that should exist."""
        if isinstance(self.premake, int):
            low, high = _integer(profile.low, 0), _integer(profile.high, 0)
            return self._number(low), self._number(min(high + self.premake, self.largest))
        present = self._moment(now)
        lows = [self._number(value) for value in (present, profile.low) if value is not None]
        local = self.premake.after(self._local(present))
        ahead = self._interval.number(local)
        return min(lows), max(ahead, self._number(profile.high) if profile.high is not None else ahead)

    def _moment(self, now: datetime) -> Value:
        """`now` as a value of the key."""
        local = to_local(now, self._clock)
        match self.key_kind:
            case "instant":
                return now
            case "local":
                return local
            case "date":
                return local.date()
            case "integer":
                raise TypeError(self.key_kind)

    def _number(self, value: Value) -> int:
        if isinstance(self.step, int):
            return _integer(value, 0) // self.step
        return self.step.number(self._local(value))

    def _edge(self, number: int) -> Value | None:
        """Where interval `number` begins; None beyond what the key can hold."""
        if isinstance(self.step, int):
            edge = number * self.step
            return edge if -self.largest - 1 < edge <= self.largest else None
        local = self.step.start(number)
        if local is None:
            return None
        match self.key_kind:
            case "instant":
                return to_instant(local, self._clock)
            case "date":
                return local.date()
            case _:
                return local

    def _local(self, value: Value) -> datetime:
        """What the calendar shows at `value`."""
        match value:
            case datetime() if value.tzinfo is not None:
                return to_local(value, self._clock)
            case datetime():
                return value
            case date():
                return datetime.combine(value, time())
            case _:
                raise TypeError(value)

    def _label(self, value: Value) -> str:
        if isinstance(self.step, int):
            number = _integer(value, 0)
            return f"m{-number}" if number < 0 else str(number)
        local = self._local(value)
        number = self.step.number(local)
        if self._edge(number) != value:  # a bound that somebody else chose
            return (
                local.strftime("%Y%m%d_%H%M%S_%f")
                if local.time() != time()
                else f"{local.year:04}{local:%m%d}"
            )
        return _calendar_label(self.step, local)

    @property
    def _interval(self) -> Interval:
        if isinstance(self.step, int):
            raise TypeError(self.step)
        return self.step

    @property
    def _clock(self) -> tzinfo:
        if self.zone == "UTC" or (isinstance(self.step, Interval) and self.step.unit == "hour"):
            return UTC
        return ZoneInfo(self.zone)


def _calendar_label(step: Interval, local: datetime) -> str:
    year = f"{local.year:04}"
    match step.unit:
        case "month" if step.count % 12 == 0:
            return year
        case "month" if step.count == 3:
            return f"{year}_q{(local.month + 2) // 3}"
        case "month":
            return f"{year}_{local:%m}"
        case "day" if step.count == 7:
            iso = local.isocalendar()
            return f"{iso.year:04}w{iso.week:02}"
        case "day":
            return f"{year}_{local:%m_%d}"
        case "hour":
            return f"{year}_{local:%m_%d_%H}"


def _empty(bound: RangeBound) -> bool:
    return bound.lower is not None and bound.upper is not None and not less(bound.lower, bound.upper)


def _integer(value: Value | None, default: int) -> int:
    if value is None:
        return default
    if not isinstance(value, int):
        raise TypeError(value)
    return value


# -- reading the options ---------------------------------------------------------------------------------
def _column(options: Options, table: TableInfo, problems: list[Problem]) -> Column | None:
    name = options.get("key")
    names = ", ".join(column.name for column in table.columns if column.type in _KEYS) or "none"
    if not isinstance(name, str) or not name:
        problems.append(Problem("key", f"name the column to partition by; columns that fit: {names}"))
        return None
    column = table.column(name)
    if column is None:
        problems.append(Problem("key", f'the table has no column "{name}"; columns that fit: {names}'))
        return None
    if column.type not in _KEYS:
        kinds = ", ".join(_KEYS)
        problems.append(Problem("key", f'"{name}" is of type {column.type}; a range needs one of {kinds}'))
        return None
    return column


def _zone(options: Options, problems: list[Problem]) -> str:
    zone = str(options.get("timezone", "UTC"))
    if zone != "UTC":
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = 'write it as "Europe/Berlin" or "UTC"'
            problems.append(Problem("timezone", f'"{zone}" is not a time zone known here; {hint}'))
    return zone


def _step(options: Options, kind: Key | None, problems: list[Problem]) -> Interval | int | None:
    if "interval" not in options:
        problems.append(
            Problem("interval", 'say how wide a partition is, such as "1 month", or 1000000 keys')
        )
        return None
    return _width("interval", options["interval"], kind, problems)


def _premake(
    options: Options, kind: Key | None, step: Interval | int | None, problems: list[Problem]
) -> Interval | int | None:
    if "premake" in options:
        return _width("premake", options["premake"], kind, problems)
    if isinstance(step, Interval):
        return Interval(step.unit, step.count * AHEAD)
    return step * AHEAD if step is not None else None


def _width(field: str, value: object, kind: Key | None, problems: list[Problem]) -> Interval | int | None:
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str) and value.strip().replace("_", "").isdigit():
        number = int(value.strip().replace("_", ""))
    interval = read_interval(value) if isinstance(value, str) else None
    match kind:
        case None:
            return None
        case "integer":
            if number is None or number < 1:
                problems.append(Problem(field, f'"{value}" is not a number of keys, such as 1000000'))
                return None
            return number
        case "instant" | "local" | "date":
            if interval is None:
                units = ", ".join(NAMES)
                problems.append(Problem(field, f'"{value}" is not a span, such as "1 month"; units: {units}'))
            elif kind == "date" and interval.unit == "hour":
                problems.append(Problem(field, f'"{value}" is shorter than a day, and the key is a date'))
                return None
            return interval
