"""All that a plugin may import: what a plugin is, what a partitioner answers, bounds, rules and throttles.

A plugin is a value of type `Plugin`, named by an entry point of the group `evolve.plugins`:

    [project.entry-points."evolve.plugins"]
    acme = "evolve_acme:plugin"

A partitioner is pure: it says which partitions exist and which bounds they have. How to get there without
stopping the application is decided by evolve, which writes every statement: a plugin takes no lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from hashlib import sha256
from typing import ClassVar, Literal, Self, final

from evolve.backfill.throttle import Hold, Throttle
from evolve.errors import Refused
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations
from evolve.sql.bounds import (
    Bound,
    DefaultBound,
    HashBound,
    ListBound,
    OpaqueBound,
    Partition,
    RangeBound,
    Value,
    bound_sql,
    check_sql,
    covers,
    first_overlap,
    gaps,
    less,
    overlap,
    sorted_ranges,
    value_sql,
)
from evolve.sql.locks import LockMode
from evolve.sql.names import MAX_BYTES, QualifiedName
from evolve.sql.steps import Step
from evolve.values import dataclass

__all__ = [
    "API",
    "MAX_BYTES",
    "MOST_PARTITIONS",
    "Bound",
    "Column",
    "Conflict",
    "DefaultBound",
    "Due",
    "Finding",
    "HashBound",
    "History",
    "Hold",
    "ListBound",
    "LockMode",
    "NamedThrottle",
    "NotAdopted",
    "OpaqueBound",
    "Options",
    "Partition",
    "Partitioner",
    "Plugin",
    "Problem",
    "Problems",
    "Profile",
    "QualifiedName",
    "RangeBound",
    "Rule",
    "Severity",
    "Step",
    "TableInfo",
    "Throttle",
    "TooManyPartitions",
    "Value",
    "bound_sql",
    "check_sql",
    "covers",
    "first_overlap",
    "gaps",
    "less",
    "operations",
    "overlap",
    "partition_name",
    "sorted_ranges",
    "unknown_options",
    "value_sql",
]

MOST_PARTITIONS = 10_000  # planning time and memory of every session grow with each

API = 1
"""The version of this module. A plugin names the one it was written for; another one is refused at start."""

Options = Mapping[str, object]
"""What the user wrote for a partitioner: keys of `[tool.evolve.partition.<table>]` that are not evolve's, or
options of the command line under the same names. Values are TOML's: text, numbers, dates, lists, tables."""


@dataclass(frozen=True, slots=True)
class Column:
    """Args:
    type: as `format_type` writes it: "bigint", "timestamp with time zone".
    """

    name: str
    type: str
    not_null: bool = False
    generated: bool = False


@dataclass(frozen=True, slots=True)
class TableInfo:
    """What a partitioner may know of a table when it reads its options."""

    name: QualifiedName
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class Profile:
    """What the table holds now.

    Args:
        low, high: least and greatest value of the first key column; None where the table is empty.
        values: the distinct values of that column, where the partitioner's method is "list".
        rows: by the statistics.
    """

    low: Value | None = None
    high: Value | None = None
    values: tuple[Value | None, ...] = ()
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Args:
    field: path of the option, such as "interval" or "retention.keep".
    message: what is wrong with it and what would be right, as one sentence without a full stop.
    """

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Problems:
    """Why the options make no partitioner; never empty."""

    found: tuple[Problem, ...]


class TooManyPartitions(Refused):
    """Raised by `Partitioner.wanted` instead of making more than `MOST_PARTITIONS`."""

    def __init__(self, count: int, lowest: str, highest: str) -> None:
        super().__init__(
            f"keys from {lowest} to {highest} would need {count:,} partitions; {MOST_PARTITIONS:,} is most",
            why="each costs every session planning time and memory; often one stray key is the cause",
            fix="choose a longer --interval, or correct the stray rows",
        )


@dataclass(frozen=True, slots=True)
class NotAdopted:
    """The table as it stands cannot become one partition."""

    reason: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A partition that should exist but crosses one that is there."""

    wanted: Partition
    existing: Partition


@dataclass(frozen=True, slots=True)
class Due:
    """What upkeep has to do now."""

    create: tuple[Partition, ...] = ()
    detach: tuple[Partition, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


class Partitioner(ABC):
    """One way to partition one table: the options of a user, read and found right.

    Subclasses are frozen dataclasses. Every method is pure and deterministic: time comes in as `now`.

    Attributes:
        kind: what the user writes as `--method` or `method = …`; unique among all plugins.
        method: PostgreSQL's partitioning that it is built on.
    """

    __slots__ = ()

    kind: ClassVar[str]
    method: ClassVar[Literal["range", "list", "hash"]]

    @classmethod
    @abstractmethod
    def parse(cls, options: Options, table: TableInfo) -> Self | Problems:
        """Read the user's options, or tell all that is wrong with them, unknown options too."""

    @property
    @abstractmethod
    def key(self) -> tuple[str, ...]:
        """The columns of the partition key, in order; no expressions, for they would forbid primary keys."""

    @abstractmethod
    def wanted(self, now: datetime, profile: Profile) -> Sequence[Bound]:
        """Every bound that should exist for the rows of `profile` and for what comes soon after `now`.

        They never overlap; where `method` is "range" they are in order and leave no gap.

        Args:
            now: with time zone.
            profile: the rows of today.
        """

    @abstractmethod
    def name(self, table: str, bound: Bound) -> str:
        """The partition's name: one for each bound, always the same, at most 63 bytes."""

    def expired(self, existing: Sequence[Partition], now: datetime) -> Sequence[Partition]:
        """Those of `existing` that are past the retention; none unless the method has one."""
        return ()

    def adopt(self, profile: Profile, now: datetime) -> Bound | NotAdopted:
        """One bound that takes every row the table has and every row it may get in the next days."""
        return NotAdopted(f'the method "{self.kind}" does not say how a whole table becomes one partition')

    def initial(self, table: str, profile: Profile, now: datetime) -> tuple[Partition, ...]:
        """The partitions a table begins with."""
        return tuple(Partition(self.name(table, bound), bound) for bound in self.wanted(now, profile))

    def due(self, table: str, existing: Sequence[Partition], now: datetime, profile: Profile) -> Due:
        """What is missing from `existing` and what in it is expired. Doing it makes the next answer empty."""
        create: list[Partition] = []
        conflicts: list[Conflict] = []
        present = {there.bound for there in existing}
        for partition in self.initial(table, profile, now):
            if partition.bound in present:
                continue
            crossed = [there for there in existing if overlap(there.bound, partition.bound)]
            if not crossed:
                create.append(partition)
            elif not _covered(partition.bound, crossed):
                conflicts.append(Conflict(partition, crossed[0]))
        return Due(tuple(create), tuple(self.expired(existing, now)), tuple(conflicts))

    @final
    @property
    def partition_by(self) -> tuple[str, tuple[str, ...]]:
        """The method in capitals and the key columns, for PARTITION BY."""
        return self.method.upper(), self.key


@dataclass(frozen=True, slots=True)
class NamedThrottle:
    """A reason to wait between batches, chosen by `--throttle name:argument`.

    Args:
        make: gets the text behind the colon; raises ValueError with a sentence where it makes no sense.
    """

    name: str
    make: Callable[[str], Throttle]


@dataclass(frozen=True, slots=True)
class Plugin:
    """What an entry point of `evolve.plugins` names.

    Args:
        name: lower case, unique among the installed plugins.
        api: the `API` it was written for.
        rules: lint rules; ids outside EV000-EV999, such as "ACME101", beside a page of the same file name.
    """

    name: str
    api: int
    partitioners: Sequence[type[Partitioner]] = ()
    rules: Sequence[type[Rule]] = ()
    throttles: Sequence[NamedThrottle] = ()


def unknown_options(options: Options, known: Iterable[str]) -> list[Problem]:
    """A problem for each of `options` that is not `known`, naming the nearest that is."""
    names = sorted(known)
    problems: list[Problem] = []
    for name in options:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(names)}"
            problems.append(Problem(name, f"there is no such option{hint}"))
    return problems


def partition_name(table: str, suffix: str) -> str:
    """`table_suffix`; past 63 bytes the table's part is cut and gets eight hex digits of its whole."""
    whole = f"{table}_{suffix}"
    if len(whole.encode()) <= MAX_BYTES:
        return whole
    digest = sha256(table.encode()).hexdigest()[:8]
    room = MAX_BYTES - len(suffix.encode()) - len(digest) - 2
    if room < 1:
        raise ValueError(suffix)
    return f"{table.encode()[:room].decode(errors='ignore')}_{digest}_{suffix}"


def _covered(bound: Bound, partitions: Sequence[Partition]) -> bool:
    """True where `partitions` together take every key of `bound`."""
    if any(covers(partition.bound, bound) for partition in partitions):
        return True
    if isinstance(bound, RangeBound):
        ranges = [found for _, found in sorted_ranges(partitions)]
        return not gaps(partitions) and covers(RangeBound(ranges[0].lower, ranges[-1].upper), bound)
    if isinstance(bound, ListBound):
        taken = {value for p in partitions if isinstance(p.bound, ListBound) for value in p.bound.values}
        return set(bound.values) <= taken
    return False
