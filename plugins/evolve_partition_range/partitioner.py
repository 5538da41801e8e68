"""The partitioner "range": intervals of time in a zone, or of integers, as half-open ranges.

The time may stand in the key itself, as in a uuid of version 7: see `codecs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, tzinfo
from hashlib import sha256
from itertools import pairwise
from typing import ClassVar, Literal, Self, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evolve.plugin_api import (
    MOST_PARTITIONS,
    Bound,
    Column,
    DefaultBound,
    Expired,
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
    UnreadableKey,
    Value,
    less,
    partition_name,
    unknown_options,
)
from evolve_partition_range.codecs import NAMES as CODECS
from evolve_partition_range.codecs import Codec, read_codec
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
_OPTIONS = ("key", "codec", "interval", "timezone", "premake", "retention")

_BYTEWISE = ("C", "POSIX")  # collations in which texts of the same length sort as their bytes do
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
    codec: how the time stands in the key, where it does.
    keep: how far behind now (or behind the greatest key) a partition ends before it is expired; None for ever.
    """

    column: str
    key_kind: Key
    step: Interval | int
    premake: Interval | int
    zone: str = "UTC"
    largest: int = 0
    codec: Codec | None = None
    keep: Interval | int | None = None

    kind: ClassVar[str] = "range"
    method: ClassVar[Literal["range", "list", "hash"]] = "range"

    @classmethod
    def parse(cls, options: Options, table: TableInfo) -> Self | Problems:
        problems = unknown_options(options, _OPTIONS)
        column = _column(options, table, problems)
        zone = _zone(options, problems)
        codec = _codec(options, column, problems) if column else None
        kind: Key | None = "instant" if codec else _KEYS.get(column.type) if column else None
        step = _step(options, kind, problems)
        premake = _premake(options, kind, step, problems)
        keep = _keep(options, kind, problems)
        if column is None or kind is None or step is None or premake is None or problems:
            return Problems(tuple(problems))
        largest = _LARGEST.get(column.type, 0)
        return cls(column.name, kind, step, premake, zone, largest, codec, keep)

    @property
    def key(self) -> tuple[str, ...]:
        return (self.column,)

    def wanted(self, now: datetime, profile: Profile) -> Sequence[Bound]:
        return list(self._numbered(*self._span(now, profile)))

    def name(self, table: str, bound: Bound) -> str:
        if not isinstance(bound, RangeBound):
            raise TypeError(bound)
        if bound.lower is None:
            return partition_name(
                table, f"p_before_{self._label(bound.upper)}" if bound.upper is not None else "p_all"
            )
        label = f"p{self._label(bound.lower)}"
        number = self._place(bound.lower)
        if number is not None and bound.upper == self._edge(number + 1):
            return partition_name(table, label)
        return partition_name(
            table, f"{label}_to_{'max' if bound.upper is None else self._label(bound.upper)}"
        )

    def adopt(self, profile: Profile, now: datetime) -> Bound | NotAdopted:
        highest = self._number(profile.high) if profile.high is not None else None
        if self.key_kind == "integer":
            highest = highest or 0
        else:
            present = self._interval.number(self._present(now))
            highest = present if highest is None else max(highest, present)
        upper = self._edge(highest + 1 + ADOPT_AHEAD)
        if upper is None:
            return NotAdopted(
                f'"{self.column}" reaches so far that no bound lies {ADOPT_AHEAD} intervals ahead of it'
            )
        return RangeBound(None, upper)

    def past(self, existing: Sequence[Partition], now: datetime, profile: Profile) -> Sequence[Expired]:
        return tuple(
            Expired(partition, reason)
            for partition in existing
            if isinstance(partition.bound, RangeBound)
            and (reason := self._expired(partition.bound.upper, now, profile))
        )

    def expired(self, existing: Sequence[Partition], now: datetime) -> Sequence[Partition]:
        return tuple(found.partition for found in self.past(existing, now, Profile()))

    def moments(self, bound: Bound) -> tuple[datetime | None, datetime | None] | None:
        if not isinstance(bound, RangeBound) or self.key_kind == "integer":
            return None
        ends = [None if end is None else self._calendar(end) for end in (bound.lower, bound.upper)]
        begins, stops = (None if end is None else to_instant(end, self._clock) for end in ends)
        return begins, stops

    def split(
        self, partition: Partition, profile: Profile, now: datetime, how: Options
    ) -> Sequence[Bound] | Problems:
        problems = unknown_options(how, ("at", "interval"))
        kind: Key = self.key_kind
        step = _width("interval", how["interval"], kind, problems) if "interval" in how else self.step
        cuts = self._cuts(how["at"], problems) if "at" in how else None
        bound = partition.bound
        if isinstance(bound, DefaultBound):
            if cuts is not None:
                problems.append(Problem("at", "a default partition is split by intervals only"))
            elif profile.low is None or profile.high is None:
                problems.append(Problem("split", f"{partition.name} holds no rows that a range could take"))
        elif not isinstance(bound, RangeBound):
            problems.append(Problem("split", f"{partition.name} is no range"))
        if problems or step is None:
            return Problems(tuple(problems))
        finer = replace(self, step=step)
        if isinstance(bound, DefaultBound):
            return (*finer.between(profile.low, profile.high), DefaultBound())
        if not isinstance(bound, RangeBound):
            raise TypeError(bound)
        if cuts is None:
            low = profile.low if bound.lower is None else bound.lower
            high = profile.high if bound.upper is None else bound.upper
            inner = finer.between(low, high)
            edges = [edge for each in inner for edge in (each.lower, each.upper) if edge is not None]
            cuts = sorted({edge for edge in edges if _inside(bound, edge)}, key=_order)
        else:
            problems = [
                Problem("at", f"{cut} lies outside of {partition.name}")
                for cut in cuts
                if not _inside(bound, cut)
            ]
        if problems:
            return Problems(tuple(problems))
        if not cuts:
            return Problems(
                (Problem("interval", f"{partition.name} is one interval already; name a shorter one"),)
            )
        return [RangeBound(low, high) for low, high in pairwise((bound.lower, *cuts, bound.upper))]

    def between(self, low: Value | None, high: Value | None) -> list[RangeBound]:
        """The intervals from that of `low` to that of `high`; where one is None, that of the other alone.

        Raises:
            TooManyPartitions, UnreadableKey.
        """
        ends = [value for value in (low, high) if value is not None]
        if not ends:
            return []
        return list(self._numbered(self._number(ends[0]), self._number(ends[-1])))

    def lint(self, table: str, partition: Partition, existing: Sequence[Partition]) -> tuple[str, ...]:
        found = Partitioner.lint(self, table, partition, existing)
        if isinstance(partition.bound, RangeBound):
            ends = (("begins", partition.bound.lower), ("ends", partition.bound.upper))
            found += tuple(
                f"{partition.name} {verb} at {end}, where no interval of {self.step} begins"
                for verb, end in ends
                if end is not None and not self._begins(end)
            )
        return found

    @property
    def advice(self) -> str:
        # Not super(): a dataclass with slots is another class than the one this method was written in.
        said = f"compare {self.column} by =, <, >= or BETWEEN, with a constant or a parameter"
        if self.codec is None:
            return said
        return f"{said}; a condition on another column leaves no partition out, also where it holds the same time"

    def _span(self, now: datetime, profile: Profile) -> tuple[int, int]:
        """Numbers of the first and of the last interval that should exist."""
        if isinstance(self.premake, int):
            low, high = _integer(profile.low, 0), _integer(profile.high, 0)
            return self._number(low), self._number(min(high + self.premake, self.largest))
        present = self._present(now)
        lows = [self._interval.number(present)]
        lows += [self._number(profile.low)] if profile.low is not None else []
        ahead = self._interval.number(self._reachable(self.premake.after(present)))
        return min(lows), max(ahead, self._number(profile.high) if profile.high is not None else ahead)

    def _numbered(self, first: int, last: int) -> Iterator[RangeBound]:
        if last - first >= MOST_PARTITIONS:
            raise TooManyPartitions(last - first + 1, str(self._edge(first)), str(self._edge(last + 1)))
        bounds = (RangeBound(self._edge(number), self._edge(number + 1)) for number in range(first, last + 1))
        # A zone that skipped a whole day has a day without any moment in it.
        return (bound for bound in bounds if not _empty(bound))

    def _present(self, now: datetime) -> datetime:
        """What the calendar shows at `now`, or as near as a key can come to it."""
        return self._reachable(to_local(now, self._clock))

    def _reachable(self, local: datetime) -> datetime:
        if self.codec is None:
            return local
        first, last = (to_local(end, self._clock) for end in (self.codec.first, self.codec.last))
        return min(max(local, first), last)

    def _expired(self, upper: Value | None, now: datetime, profile: Profile) -> str:
        """Why a partition that ends at `upper` is expired; "" where it is not."""
        if upper is None or self.keep is None:
            return ""
        if isinstance(self.keep, int):
            if profile.high is None or _integer(upper, 0) > _integer(profile.high, 0) - self.keep + 1:
                return ""
            return f"all its keys lie {self.keep:,} or more below the greatest"
        local = self._calendar(upper)
        if local is None or local > self.keep.before(to_local(now, self._clock)):
            return ""
        return f"all its rows are older than {self.keep}"

    def _cuts(self, value: object, problems: list[Problem]) -> list[Value]:
        """Where the user wants a range to be cut."""
        items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
        cuts = {cut for item in items if (cut := self._read(item)) is not None}
        if len(cuts) < len(items):
            problems.append(Problem("at", f'"{value}" is not a list of keys to cut at, each once'))
        return sorted(cuts, key=_order)

    def _read(self, item: object) -> Value | None:
        """A key as the user writes it, where there is a codec as a time; None where it is none."""
        text = str(item).strip()
        try:
            if self.key_kind == "integer":
                return int(text)
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        local = moment if moment.tzinfo is None else to_local(moment, self._clock)
        match self.key_kind:
            case "date":
                return local.date()
            case "local":
                return local
            case "instant":
                instant = to_instant(local, self._clock) if moment.tzinfo is None else moment.astimezone(UTC)
                return self._key(instant)

    def _key(self, instant: datetime | None) -> Value | None:
        return self.codec.encode(instant) if self.codec and instant is not None else instant

    def _number(self, value: Value) -> int:
        """Which interval `value` lies in; neighbours differ by 1.

        Raises:
            UnreadableKey: the codec reads no moment from it.
        """
        number = self._place(value)
        if number is None:
            raise UnreadableKey(
                self.column, str(value), self.codec.described if self.codec else self.key_kind
            )
        return number

    def _place(self, value: Value) -> int | None:
        if isinstance(self.step, int):
            return _integer(value, 0) // self.step
        local = self._calendar(value)
        return None if local is None else self.step.number(local)

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
                return self._key(to_instant(local, self._clock))
            case "date":
                return local.date()
            case _:
                return local

    def _begins(self, value: Value) -> bool:
        """True where an interval begins at `value`."""
        number = self._place(value)
        return number is not None and self._edge(number) == value

    def _calendar(self, value: Value) -> datetime | None:
        """What the calendar shows at `value`; None where the codec reads no moment from it."""
        moment = value if self.codec is None else self.codec.decode(value)
        match moment:
            case datetime() if moment.tzinfo is not None:
                return to_local(moment, self._clock)
            case datetime():
                return moment
            case date():
                return datetime.combine(moment, time())
            case None:
                return None
            case _:
                raise TypeError(value)

    def _label(self, value: Value) -> str:
        if isinstance(self.step, int):
            number = _integer(value, 0)
            return f"m{-number}" if number < 0 else str(number)
        local = self._calendar(value)
        if local is None or not self._begins(value):  # a bound that somebody else chose
            return self._odd_label(value, local)
        return _calendar_label(self.step, local)

    def _odd_label(self, value: Value, local: datetime | None) -> str:
        if local is None or (self.codec is not None and not self.codec.least_of_its_tick(value)):
            return f"k{sha256(str(value).encode()).hexdigest()[:16]}"
        if local.time() == time():
            return f"{local.year:04}{local:%m%d}"
        # Clocks that are set back show the same twice.
        return f"{local.year:04}{local:%m%d_%H%M%S_%f}{'_again' if local.fold else ''}"

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


def _order(key: Value) -> int:
    return cast("int", key)  # keys of one column are of one kind, and that has an order


def _inside(bound: RangeBound, key: Value) -> bool:
    """True where `key` cuts `bound` into two that both take keys."""
    above = bound.lower is None or less(bound.lower, key)
    return above and (bound.upper is None or less(key, bound.upper))


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
    if column.type not in _KEYS and "codec" not in options:
        kinds, codecs = ", ".join(_KEYS), ", ".join(CODECS)
        message = f'"{name}" is of type {column.type}; a range needs one of {kinds}, or a codec: {codecs}'
        problems.append(Problem("key", message))
        return None
    return column


def _codec(options: Options, column: Column, problems: list[Problem]) -> Codec | None:
    if "codec" not in options:
        return None
    answer = read_codec(str(options["codec"]), column.type)
    if isinstance(answer, str):
        problems.append(Problem("codec", answer))
        return None
    if answer.form == "text" and column.collation not in _BYTEWISE:
        problems.append(
            Problem(
                "codec",
                f'"{column.name}" must be of COLLATE "C", or the server sorts keys as words, not by time',
            )
        )
    return answer


def _keep(options: Options, kind: Key | None, problems: list[Problem]) -> Interval | int | None:
    retention = options.get("retention")
    if retention is None:
        return None
    if not isinstance(retention, Mapping):
        return _width("retention", retention, kind, problems)
    problems += [
        Problem(f"retention.{problem.field}", problem.message)
        for problem in unknown_options(retention, ("keep",))
    ]
    if "keep" not in retention:
        problems.append(Problem("retention.keep", 'say how long a partition stays, such as "24 months"'))
        return None
    return _width("retention.keep", retention["keep"], kind, problems)


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
