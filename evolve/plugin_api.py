"""All that a plugin may import: what a plugin is, what a partitioner answers, bounds, rules and throttles.

A plugin is a value of type `Plugin`, named by an entry point of the group `evolve.plugins`:

    [project.entry-points."evolve.plugins"]
    acme = "evolve_acme:plugin"

A partitioner is pure: it says which partitions exist and which bounds they have. How to get there without
stopping the application is decided by evolve, which writes every statement: a plugin takes no lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from hashlib import sha256
from typing import ClassVar, Literal, Self, final

from evolve.backfill.sensor import Degree, Limits, Reading, Sensor
from evolve.backfill.throttle import Hold, Throttle
from evolve.backfill.throttling import Watched
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
    route_sql,
    sorted_ranges,
    tiles,
    union,
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
    "BadBounds",
    "Bound",
    "Column",
    "Conflict",
    "DefaultBound",
    "Degree",
    "Due",
    "Expired",
    "Finding",
    "HashBound",
    "History",
    "Hold",
    "Limits",
    "ListBound",
    "LockMode",
    "NamedThrottle",
    "NoPartitionFor",
    "NotAdopted",
    "OpaqueBound",
    "Options",
    "Partition",
    "Partitioner",
    "Plugin",
    "Problem",
    "Problems",
    "Profile",
    "Pruning",
    "QualifiedName",
    "RangeBound",
    "Reading",
    "Rule",
    "Sensor",
    "Severity",
    "Step",
    "TableInfo",
    "Throttle",
    "TooManyPartitions",
    "UnreadableKey",
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
    "route_sql",
    "sorted_ranges",
    "tiles",
    "union",
    "unknown_options",
    "value_sql",
]

_SHOWN = 5  # keys in a message

MOST_PARTITIONS = 10_000  # planning time and memory of every session grow with each

API = 1
"""The version of this module. A plugin names the one it was written for; another one is refused at start."""

Options = Mapping[str, object]
"""What the user wrote for a partitioner: keys of `[tool.evolve.partition.<table>]` that are not evolve's, or
options of the command line under the same names. Values are TOML's: text, numbers, dates, lists, tables."""


_MERGES = {
    "range": "only ranges that follow one another without a gap make one range",
    "list": "only partitions with values of their own make one; DEFAULT stays what it is",
    "hash": "only all the parts of one remainder make one: of (8, 1) the other half is (8, 5)",
}

_PRUNES = {
    "range": "by =, <, >= or BETWEEN",
    "list": "by = or IN",
    "hash": "each by = or IN",
}


@dataclass(frozen=True, slots=True)
class Column:
    """Args:
    type: as `format_type` writes it: "bigint", "timestamp with time zone".
    collation: "C" where the server sorts the column by its bytes, also because the database does; "" for any other.
    """

    name: str
    type: str
    not_null: bool = False
    generated: bool = False
    collation: str = ""


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


class BadBounds(Refused):
    """Raised instead of handing out partitions that no server would take together: the fault is the method's."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(
            f'the method "{kind}" wants {what}',
            why="a table cannot have both",
            fix="tell whoever wrote the plugin: evolve plugins says where it comes from",
        )


class NoPartitionFor(Refused):
    """Raised by `Partitioner.wanted`: the table holds keys that no partition would take."""

    def __init__(self, column: str, keys: Sequence[str], fix: str) -> None:
        shown = ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
        super().__init__(f'no partition takes the rows whose "{column}" is {shown}', fix=fix)


class UnreadableKey(Refused):
    """Raised by `Partitioner` where a key the table holds is not what the options say."""

    def __init__(self, column: str, key: str, expected: str) -> None:
        super().__init__(
            f'"{column}" holds {key}, which is no {expected}',
            why="which partition it belongs to cannot be told",
            fix="correct those rows, or partition by another column",
        )


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
class Expired:
    """Args:
    reason: as one sentence without a full stop, such as "its last day is older than 24 months".
    """

    partition: Partition
    reason: str


@dataclass(frozen=True, slots=True)
class Pruning:
    """Which partitions a query reads.

    Args:
        scanned: names, in the order of the plan.
        of: how many partitions there are.
        advice: what a condition must look like for the server to leave partitions out; "" where it left some out.
    """

    scanned: tuple[str, ...]
    of: int
    advice: str

    @property
    def pruned(self) -> bool:
        return len(self.scanned) < self.of


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
        """Those of `existing` that are past the retention; none unless the method has one.

        Asked by `past`; answer there instead where the rows decide and not the clock, or to say why.
        """
        return ()

    def past(self, existing: Sequence[Partition], now: datetime, profile: Profile) -> Sequence[Expired]:
        """The same, with the reason of each. A partition that may still get rows is never among them."""
        return tuple(
            Expired(partition, "it is past the retention") for partition in self.expired(existing, now)
        )

    def moments(self, bound: Bound) -> tuple[datetime | None, datetime | None] | None:
        """When rows of `bound` begin and end to come, None for ever; None alone where the clock does not say.

        Asked to tell how far the future reaches.
        """
        return None

    def adopt(self, profile: Profile, now: datetime) -> Bound | NotAdopted:
        """One bound that takes every row the table has and every row it may get in the next days."""
        return NotAdopted(f'the method "{self.kind}" does not say how a whole table becomes one partition')

    def split(
        self, partition: Partition, profile: Profile, now: datetime, how: Options
    ) -> Sequence[Bound] | Problems:
        """Bounds that tile `partition` exactly, two at least; a default partition is cut into bounds and DEFAULT.

        Args:
            profile: the rows of the partition, not of the table.
            how: what the user says of it; nothing of it need be given.
        """
        return Problems(
            (Problem("split", f'the method "{self.kind}" does not say how a partition is split'),)
        )

    def merge(self, partitions: Sequence[Partition]) -> Bound | Problems:
        """The one bound that takes exactly what `partitions`, two at least, take."""
        together = union([partition.bound for partition in partitions]) if len(partitions) > 1 else None
        if together is None:
            names = ", ".join(partition.name for partition in partitions)
            return Problems((Problem("merge", f"{names or 'no partition'}: {_MERGES[self.method]}"),))
        return together

    def lint(self, table: str, partition: Partition, existing: Sequence[Partition]) -> tuple[str, ...]:
        """What speaks against a partition that somebody makes by hand, each as a sentence without a full stop.

        Args:
            existing: the other partitions of the table.
        """
        match self.method, partition.bound:
            case ("range", RangeBound()) | ("list", ListBound()) | ("hash", HashBound()):
                pass
            case "range" | "list", DefaultBound():
                return (
                    f"{partition.name} is a default partition: each new partition then locks it and reads it "
                    "through, and none can be detached concurrently",
                )
            case _:
                return (f"{partition.name} has no bound of the method {self.method}",)
        found = [
            f"{partition.name} takes keys that {there.name} takes already"
            for there in existing
            if overlap(there.bound, partition.bound)
        ]
        name = self.name(table, partition.bound)
        if partition.name != name:
            found.append(
                f"{partition.name} would be called {name} by evolve, which makes it anew where it is lost"
            )
        return tuple(found)

    def explain(self, plan: object, existing: Sequence[Partition]) -> Pruning:
        """Which of `existing` a query reads.

        Args:
            plan: what EXPLAIN (FORMAT JSON) answers, parsed; with ANALYZE, a partition left out while it ran counts
                as left out.
        """
        scanned = tuple(dict.fromkeys(_relations(plan)))
        names = {partition.name for partition in existing}
        read = tuple(name for name in scanned if name in names)
        return Pruning(read, len(names), "" if len(read) < len(names) else self.advice)

    @property
    def advice(self) -> str:
        """What a condition must look like for the server to leave partitions out."""
        return f"compare {', '.join(self.key)} {_PRUNES[self.method]}, with a constant or a parameter"

    def initial(self, table: str, profile: Profile, now: datetime) -> tuple[Partition, ...]:
        """The partitions a table begins with.

        Raises:
            BadBounds: `wanted` or `name` does not keep the contract.
        """
        partitions = tuple(Partition(self.name(table, bound), bound) for bound in self.wanted(now, profile))
        crossing = first_overlap(partitions)
        if crossing is not None:
            one, other = (f"{each.name} {bound_sql(each.bound)}" for each in crossing)
            raise BadBounds(self.kind, f"partitions that overlap: {one} and {other}")
        bound_of: dict[str, Bound] = {}
        for partition in partitions:
            if partition.name in bound_of:
                one, other = bound_sql(bound_of[partition.name]), bound_sql(partition.bound)
                raise BadBounds(
                    self.kind, f'two partitions of the name "{partition.name}": {one} and {other}'
                )
            if len(partition.name.encode()) > MAX_BYTES:
                raise BadBounds(self.kind, f'"{partition.name}", which is longer than {MAX_BYTES} bytes')
            bound_of[partition.name] = partition.bound
        return partitions

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
        detach = tuple(expired.partition for expired in self.past(existing, now, profile))
        return Due(tuple(create), detach, tuple(conflicts))

    @final
    @property
    def partition_by(self) -> tuple[str, tuple[str, ...]]:
        """The method in capitals and the key columns, for PARTITION BY."""
        return self.method.upper(), self.key


@dataclass(frozen=True, slots=True)
class NamedThrottle:
    """A reason to wait between batches, chosen by `--throttle name:argument`.

    Args:
        make: gets the text behind the colon; raises ValueError with a sentence where it makes no sense. It returns
            a sensor with its limits, which is looked at in a thread of its own, or a throttle, which is asked before
            each batch and must answer at once.
    """

    name: str
    make: Callable[[str], Throttle | Watched]


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
    # Hash partitions that cross a bound and do not cover it are parts of it, since moduli divide one another.
    return tiles(bound, [partition.bound for partition in partitions])


def _relations(plan: object) -> Iterator[str]:
    """Names of the relations that the nodes of a plan read, those that never ran left out."""
    match plan:
        case list():
            for item in plan:
                yield from _relations(item)
        case dict() if plan.get("Actual Loops") != 0:
            name = plan.get("Relation Name")
            # What a statement writes to is named by its uppermost node, whether it holds a row or not.
            if isinstance(name, str) and plan.get("Node Type") != "ModifyTable":
                yield name
            yield from _relations([plan.get("Plan"), plan.get("Plans")])
        case _:
            return
