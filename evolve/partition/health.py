"""How the partitions of a table are, and what has to be done about it, from what was read of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from evolve.partition.maintain import Partitioned
from evolve.partition.retention import Retention
from evolve.plugin_api import (
    Due,
    Expired,
    ListBound,
    Partition,
    Partitioner,
    Profile,
    RangeBound,
    gaps,
    sorted_ranges,
)

SLACK = timedelta(days=2)  # a daily job that failed once is no alarm yet
_STALE = 0.2  # share of the rows by which what the planner believes of the parent may be off
_FEW = 1_000  # rows below which nothing depends on it


class Level(IntEnum):
    """Also the exit status."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True, slots=True)
class Ailment:
    """
    Args:
        name: one word for each kind, the same in every form of the report.
        what: as one sentence without a full stop.
        fix: a command, or what to do.
    """

    name: str
    level: Level
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Future:
    """How far partitions are there.

    Args:
        here: rows of now, or the next key, find a partition.
        days: to the end of the last one that follows without a gap; None where the clock does not say, or for ever.
        keys: the same for keys; None where the clock says it.
        wanted_days, wanted_keys: as far as the scheme wants them now.
    """

    here: bool
    days: float | None = None
    keys: int | None = None
    wanted_days: float | None = None
    wanted_keys: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the server says.

    Args:
        default: the default partition, if there is one.
        default_rows: how many rows it holds, counted up to a limit.
        pending: partitions whose detach was interrupted.
        invalid: indexes of the table or of its partitions that are not valid.
        unlike: partitions that differ from what a new one gets, and in what.
        unmarked: partitions that do not carry the mark of evolve.
        overdue: tables that were detached and should be gone.
        policy: in what the places that say how it is partitioned differ.
        parent_rows: by the statistics of the parent; None where it was never analyzed.
        rows: by those of the partitions.
    """

    default: str | None = None
    default_rows: int = 0
    pending: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    unlike: tuple[tuple[str, str], ...] = ()
    unmarked: tuple[str, ...] = ()
    overdue: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    parent_rows: int | None = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """
    Args:
        expired: partitions that should have been detached.
    """

    partitioned: Partitioned
    future: Future
    due: Due
    expired: tuple[Expired, ...]
    found: Found
    ailments: tuple[Ailment, ...]

    @property
    def level(self) -> Level:
        return max((each.level for each in self.ailments), default=Level.OK)


def judge(
    partitioned: Partitioned,
    partitioner: Partitioner,
    due: Due,
    profile: Profile,
    found: Found,
    now: datetime,
    alert_below: timedelta | int | None,
) -> Health:
    """
    Args:
        due: what is missing now.
        alert_below: how much future is too little; None takes half of what is wanted.
    """
    future = future_of(partitioned.partitions, partitioner, profile, now)
    # A scheduler that runs once a day finds some each time: those that wait longer are told.
    expired = tuple(partitioner.past(partitioned.partitions, now - SLACK, profile))
    ailments = [
        *_of_future(partitioned, partitioner, due, profile, future, now, alert_below),
        *_of_found(partitioned.table.plain, found),
        *_of_expired(partitioned.table.plain, expired),
    ]
    ailments.sort(key=lambda each: -each.level)
    return Health(partitioned, future, due, expired, found, tuple(ailments))


def future_of(
    partitions: Sequence[Partition], partitioner: Partitioner, profile: Profile, now: datetime
) -> Future:
    """How far from now, or from the greatest key, partitions follow one another without a gap."""
    wanted = tuple(
        Partition(str(number), bound) for number, bound in enumerate(partitioner.wanted(now, profile))
    )
    if any(partitioner.moments(each.bound) is not None for each in (*wanted, *partitions)):
        here, until = _reach(partitions, partitioner, now)
        _, wished = _reach(wanted, partitioner, now)
        return Future(here, _days(until, now), None, _days(wished, now))
    if isinstance(profile.high, int):
        last, wished_last = _last_key(partitions, profile.high + 1), _last_key(wanted, profile.high + 1)
        if last is not None:
            wished_keys = None if wished_last is None else wished_last - profile.high
            return Future(last > profile.high, None, last - profile.high, None, wished_keys)
    return Future(here=True)


def _reach(
    partitions: Sequence[Partition], partitioner: Partitioner, now: datetime
) -> tuple[bool, datetime | None]:
    """Whether rows of now find a partition, and up to when those after them do; None for ever."""
    here, until, edge = False, now, None
    for _, bound in sorted_ranges(partitions):
        span = partitioner.moments(bound)
        if span is None:
            continue
        begins, ends = span
        if here and bound.lower != edge:
            break
        if not here and not ((begins is None or begins <= now) and (ends is None or now < ends)):
            continue
        here, edge = True, bound.upper
        if ends is None:
            return True, None
        until = ends
    return here, until


def _last_key(partitions: Sequence[Partition], first: int) -> int | None:
    """The greatest key up to which each from `first` on has a partition; one less than `first` where that has none."""
    last = first - 1
    ranges = sorted_ranges(partitions)
    for _, bound in ranges:
        low, high = bound.lower, bound.upper
        if (low is not None and not isinstance(low, int)) or (high is not None and not isinstance(high, int)):
            return None
        if high is None and (low is None or low <= last + 1):
            return None
        if (low is None or low <= last + 1) and high is not None and high - 1 > last:
            last = high - 1
    listed = {
        value for each in partitions if isinstance(each.bound, ListBound) for value in each.bound.values
    }
    while last + 1 in listed:
        last += 1
    return last if ranges or listed else None


def _days(until: datetime | None, now: datetime) -> float | None:
    return None if until is None else (until - now) / timedelta(days=1)


def _of_future(
    partitioned: Partitioned,
    partitioner: Partitioner,
    due: Due,
    profile: Profile,
    future: Future,
    now: datetime,
    alert_below: timedelta | int | None,
) -> list[Ailment]:
    name = partitioned.table.plain
    premake = f"evolve partition premake {name}"
    found: list[Ailment] = []
    if not future.here:
        what = "rows of now" if future.keys is None else "the next key"
        found.append(
            Ailment("future", Level.CRITICAL, f"no partition takes {what}: writers are refused", premake)
        )
    elif future.days is not None:
        least = (
            alert_below / timedelta(days=1)
            if isinstance(alert_below, timedelta)
            else (future.wanted_days or 0.0) / 2
        )
        if future.days < least:
            what = f"partitions are there for {future.days:.1f} days more, fewer than {least:.1f}"
            found.append(Ailment("future", Level.WARNING, what, premake))
    elif future.keys is not None:
        least = alert_below if isinstance(alert_below, int) else (future.wanted_keys or 0) / 2
        if future.keys < least:
            what = f"partitions are there for {future.keys:,} keys more, fewer than {least:,.0f}"
            found.append(Ailment("future", Level.WARNING, what, premake))
    elif due.create and partitioner.method != "range":
        missing = ", ".join(each.name for each in due.create[:5])
        found.append(Ailment("missing", Level.CRITICAL, f"rows of {missing} are refused", premake))
    for gap in _gaps(partitioned, partitioner, profile, now):
        what = f"no partition takes keys from {gap.lower} to {gap.upper}, between others that are there"
        found.append(Ailment("gap", Level.WARNING, what, premake))
    found += [
        Ailment(
            "conflict",
            Level.WARNING,
            f"{each.wanted.name} cannot be made: {each.existing.name} takes a part of it",
            f"evolve partition adopt {name}",
        )
        for each in due.conflicts
    ]
    return found


def _gaps(
    partitioned: Partitioned, partitioner: Partitioner, profile: Profile, now: datetime
) -> list[RangeBound]:
    """Those that rows may still come for."""
    if partitioned.method != "range":
        return []
    found = [Partition(str(number), gap) for number, gap in enumerate(gaps(partitioned.partitions))]
    gone = {each.partition.name for each in partitioner.past(found, now, profile)}
    return [each.bound for each in found if each.name not in gone and isinstance(each.bound, RangeBound)]


def _of_found(table: str, found: Found) -> list[Ailment]:
    ailments: list[Ailment] = []

    def tell(name: str, what: str, fix: str, level: Level = Level.WARNING) -> None:
        ailments.append(Ailment(name, level, what, fix))

    if found.default is not None and found.default_rows:
        tell(
            "default",
            f"the default partition {found.default} holds {found.default_rows:,} rows or more",
            f"evolve partition drain {table}",
        )
    retain = f"evolve partition retain {table}"
    for partition in found.pending:
        tell("pending", f"the detach of {partition} was interrupted: nobody sees its rows", retain)
    for index in found.invalid:
        tell(
            "invalid", f"the index {index} is not valid", f"build it anew: REINDEX INDEX CONCURRENTLY {index}"
        )
    for partition, what in found.unlike:
        tell("unlike", f"{partition} is unlike what a new partition gets: {what}", "alter it, or its table")
    if found.unmarked:
        names = ", ".join(found.unmarked[:5]) + (" …" if len(found.unmarked) > 5 else "")
        what = f"{len(found.unmarked)} partitions were not made by evolve and are never let go: {names}"
        tell("unmarked", what, f"evolve partition adopt {table}")
    for name in found.overdue:
        tell("overdue", f"{name} was detached long ago and is still there", retain)
    for what in found.policy:
        tell("policy", what, "say it in one place")
    if found.rows >= _FEW:
        analyze = f"ANALYZE {table}; the server never does it by itself for a partitioned table"
        if found.parent_rows is None:
            tell(
                "statistics",
                "the table itself was never analyzed, so plans over its partitions are guesses",
                analyze,
            )
        elif abs(found.rows - found.parent_rows) > _STALE * max(found.rows, found.parent_rows):
            what = f"the statistics know {found.parent_rows:,} rows of the table, its partitions hold {found.rows:,}"
            tell("statistics", what, analyze)
    return ailments


def _of_expired(table: str, expired: Sequence[Expired]) -> list[Ailment]:
    fix = f"evolve partition retain {table}"
    return [
        Ailment("expired", Level.WARNING, f"{each.partition.name} is still attached, and {each.reason}", fix)
        for each in expired
    ]


def overdue(
    detached: Sequence[tuple[str, datetime | None]], policy: Retention, now: datetime
) -> tuple[str, ...]:
    """Tables that were detached so long ago that they should be gone."""
    if policy.then == "keep":
        return ()
    return tuple(
        name for name, moment in detached if moment is not None and moment + policy.grace + SLACK < now
    )
