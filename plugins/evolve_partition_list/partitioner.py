"""The partitioner "list": named sets of values, or a window of integers that moves on, one partition for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import ClassVar, Literal, Self

from evolve.plugin_api import (
    MOST_PARTITIONS,
    Bound,
    Column,
    DefaultBound,
    Expired,
    ListBound,
    NoPartitionFor,
    NotAdopted,
    Options,
    Partition,
    Partitioner,
    Problem,
    Problems,
    Profile,
    TableInfo,
    TooManyPartitions,
    Value,
    partition_name,
    unknown_options,
)
from evolve_partition_list.values import INTEGERS, fits, read

Sets = tuple[tuple[str, tuple[Value | None, ...]], ...]
"""Names, and what belongs to each."""

_OPTIONS = ("key", "values", "null", "default", "window", "premake", "retention")
_ONLY_SETS = ("values", "null", "default")
_ONLY_WINDOW = ("window", "premake", "retention")

AHEAD = 1  # values kept ready unless the user says otherwise, and room that rows get while a bound is being checked
_LONGEST_NAME = 40  # bytes of a set's name, so that room is left for the table's
_PLAIN = re.compile(r"[a-z0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class Window:
    """Args:
    first: the value that an empty table begins with.
    premake: how many values beyond the greatest are kept ready.
    keep: how many values up to the greatest stay before one is expired; None for all.
    """

    first: int
    premake: int
    keep: int | None


@dataclass(frozen=True, slots=True)
class List(Partitioner):
    """Args:
    column: the key.
    type: of it.
    scheme: what belongs together.
    guard: a default partition takes what belongs to none of the sets.
    """

    column: str
    type: str
    scheme: Sets | Window
    guard: bool = False

    kind: ClassVar[str] = "list"
    method: ClassVar[Literal["range", "list", "hash"]] = "list"

    @classmethod
    def parse(cls, options: Options, table: TableInfo) -> Self | Problems:
        problems = unknown_options(options, _OPTIONS)
        column = _column(options, table, problems)
        windowed = "window" in options
        for name in _ONLY_SETS if windowed else _ONLY_WINDOW:
            if name in options:
                problems.append(Problem(name, f'does not go with "{"window" if windowed else "values"}"'))
        if column is None:
            return Problems(tuple(problems))
        scheme = _window(options, column, problems) if windowed else _sets(options, column, problems)
        guard = _guard(options, problems)
        if scheme is None or problems:
            return Problems(tuple(problems))
        return cls(column.name, column.type, scheme, guard)

    @property
    def key(self) -> tuple[str, ...]:
        return (self.column,)

    def wanted(self, now: datetime, profile: Profile) -> Sequence[Bound]:
        if isinstance(self.scheme, Window):
            return [ListBound((value,)) for value in self._window(self.scheme, profile, self.scheme.premake)]
        homeless = self._homeless(profile)
        if homeless and not self.guard:
            fix = 'add them to "values", or take what belongs to no set into a default partition: default = "guard"'
            raise NoPartitionFor(self.column, [_shown(value) for value in homeless], fix)
        bounds: list[Bound] = [ListBound(values) for _, values in self.scheme]
        return [*bounds, DefaultBound()] if self.guard else bounds

    def name(self, table: str, bound: Bound) -> str:
        match bound:
            case DefaultBound():
                return partition_name(table, "default")
            case ListBound(values):
                return partition_name(table, self._label(values))
            case _:
                raise TypeError(bound)

    def adopt(self, profile: Profile, now: datetime) -> Bound | NotAdopted:
        if isinstance(self.scheme, Window):
            try:
                return ListBound(tuple(self._window(self.scheme, profile, AHEAD)))
            except TooManyPartitions:
                return NotAdopted(f'"{self.column}" has too many values for the list of one partition')
        values = tuple(value for _, values in self.scheme for value in values)
        return ListBound((*values, *self._homeless(profile)))

    def past(self, existing: Sequence[Partition], now: datetime, profile: Profile) -> Sequence[Expired]:
        if (
            not isinstance(self.scheme, Window)
            or self.scheme.keep is None
            or not isinstance(profile.high, int)
        ):
            return ()
        last = profile.high - self.scheme.keep
        return tuple(
            Expired(partition, f"its values are {self.scheme.keep:,} or more behind {profile.high}")
            for partition in existing
            if isinstance(partition.bound, ListBound)
            and all(isinstance(value, int) and value <= last for value in partition.bound.values)
        )

    def split(
        self, partition: Partition, profile: Profile, now: datetime, how: Options
    ) -> Sequence[Bound] | Problems:
        """`how`: `values`, sets as in the settings. Without it: the sets of the scheme, or each value on its own."""
        problems = unknown_options(how, ("values",))
        bound = partition.bound
        sets = (
            read_sets(how["values"], self.type, problems)
            if "values" in how
            else self._own_sets(bound, profile)
        )
        if problems:
            return Problems(tuple(problems))
        if isinstance(bound, DefaultBound):
            if not sets:
                return Problems(
                    (Problem("values", f"{partition.name} is empty; say which values to take out of it"),)
                )
            return [*(ListBound(values) for _, values in sets), DefaultBound()]
        if not isinstance(bound, ListBound):
            return Problems((Problem("split", f"{partition.name} is no list of values"),))
        foreign = [value for _, values in sets for value in values if value not in bound.values]
        if foreign:
            listed = ", ".join(_shown(value) for value in foreign)
            return Problems((Problem("values", f"{partition.name} does not take {listed}"),))
        moved = {value for _, values in sets for value in values}
        rest = tuple(value for value in bound.values if value not in moved)
        pieces = [ListBound(values) for _, values in sets] + ([ListBound(rest)] if rest else [])
        if len(pieces) < 2:
            return Problems(
                (Problem("values", f"{partition.name} would stay as it is; name fewer of its values"),)
            )
        return pieces

    def _own_sets(self, bound: Bound, profile: Profile) -> Sets:
        """How a partition falls apart by itself."""
        if isinstance(bound, ListBound) and not isinstance(self.scheme, Window):
            cut = ((name, tuple(v for v in values if v in bound.values)) for name, values in self.scheme)
            return tuple((name, values) for name, values in cut if values)
        values = bound.values if isinstance(bound, ListBound) else tuple(self._present(profile))
        return tuple((_shown(value), (value,)) for value in values)

    def _window(self, window: Window, profile: Profile, ahead: int) -> range:
        low = profile.low if isinstance(profile.low, int) else None
        high = profile.high if isinstance(profile.high, int) else None
        last = high if high is not None else max(window.first, low if low is not None else window.first)
        first = min(low if low is not None else window.first, last)
        last = min(last + ahead, INTEGERS[self.type])
        if last - first >= MOST_PARTITIONS:
            raise TooManyPartitions(last - first + 1, str(first), str(last))
        return range(first, last + 1)

    def _homeless(self, profile: Profile) -> list[Value | None]:
        """Values that the table holds and no set takes."""
        if isinstance(self.scheme, Window):
            return []
        taken = {value for _, values in self.scheme for value in values}
        return [value for value in self._present(profile) if value not in taken]

    def _present(self, profile: Profile) -> Iterator[Value | None]:
        for value in profile.values:
            yield None if value is None else read(value, self.type)

    def _label(self, values: tuple[Value | None, ...]) -> str:
        if isinstance(self.scheme, Window):
            if len(values) == 1 and isinstance(values[0], int):
                return f"{'m' if values[0] < 0 else ''}{abs(values[0])}"
        else:
            for name, own in self.scheme:
                if set(own) == set(values):
                    return name
        if len(values) == 1 and _PLAIN.fullmatch(str(values[0])) and values[0] is not None:
            return f"in_{values[0]}"
        slug = re.sub(r"[^a-z0-9]+", "_", "_".join(_shown(value) for value in values[:4]).lower())[:20].strip(
            "_"
        )
        digest = sha256("\0".join(sorted(repr(value) for value in values)).encode()).hexdigest()[:12]
        return f"in_{slug}_{digest}"


def _shown(value: Value | None) -> str:
    return "NULL" if value is None else str(value).rstrip(" ")


# -- reading the options ---------------------------------------------------------------------------------
def _column(options: Options, table: TableInfo, problems: list[Problem]) -> Column | None:
    name = options.get("key")
    names = ", ".join(column.name for column in table.columns if fits(column.type)) or "none"
    if not isinstance(name, str) or not name:
        problems.append(Problem("key", f"name the column to partition by; columns that fit: {names}"))
        return None
    column = table.column(name)
    if column is None:
        problems.append(Problem("key", f'the table has no column "{name}"; columns that fit: {names}'))
    elif not fits(column.type):
        message = (
            f'"{name}" is of type {column.type}, whose values cannot be listed; columns that fit: {names}'
        )
        problems.append(Problem("key", message))
        return None
    return column


def _sets(options: Options, column: Column, problems: list[Problem]) -> Sets | None:
    if "values" not in options:
        message = (
            'say which values go together: values = { eu = ["de", "fr"], us = ["us"] }; or begin a window of '
        )
        problems.append(Problem("values", f"{message}integers: window = 1"))
        return None
    sets = dict(read_sets(options["values"], column.type, problems))
    home = options.get("null")
    if home is not None and not isinstance(home, str):
        problems.append(Problem("null", "name the set that NULL belongs to"))
    elif home is not None:
        if flaw := _flaw(home):
            problems.append(Problem("null", flaw))
        sets[home] = (*sets.get(home, ()), None)
    return tuple(sets.items())


def read_sets(value: object, type_: str, problems: list[Problem]) -> Sets:
    """`{ eu = ["de", "fr"] }`, or as text of a command line "eu=de,fr; us=us"."""
    found: dict[str, tuple[Value | None, ...]] = {}
    owner: dict[Value | None, str] = {}
    for name, items in _named(value, problems):
        field = f"values.{name}"
        if flaw := _flaw(name):
            problems.append(Problem(field, flaw))
        if name in found:
            problems.append(Problem(field, "is there twice"))
        values = [read(item, type_) for item in items]
        for item, each in zip(items, values, strict=True):
            if each is None:
                problems.append(Problem(field, f'"{item}" is not of type {type_}'))
            elif each in owner:
                problems.append(Problem(field, f'"{_shown(each)}" belongs to {owner[each]} already'))
            else:
                owner[each] = name
        if not values:
            problems.append(Problem(field, "is empty; a partition takes one value at least"))
        found[name] = tuple(values)
    return tuple(found.items())


def _named(value: object, problems: list[Problem]) -> list[tuple[str, list[object]]]:
    pairs: list[tuple[str, list[object]]] = []
    match value:
        case str():
            for part in value.split(";"):
                name, sign, items = part.partition("=")
                if not sign:
                    problems.append(
                        Problem("values", f'"{part.strip()}" is not written as NAME=VALUE,VALUE; …')
                    )
                    continue
                pairs.append((name.strip(), [item.strip() for item in items.split(",") if item.strip()]))
        case Mapping() if value:
            for name, items in value.items():
                pairs.append((str(name), list(items) if isinstance(items, list | tuple) else [items]))
        case _:
            problems.append(Problem("values", 'must be sets with names: { eu = ["de", "fr"], us = ["us"] }'))
    return pairs


def _flaw(name: str) -> str:
    """What is wrong with the name of a set; "" where nothing is."""
    if not name or len(name.encode()) > _LONGEST_NAME or "\0" in name:
        return f"the name of a set has 1 to {_LONGEST_NAME} bytes"
    if name == "default" or name.startswith("in_"):
        return f'the name "{name}" is kept for partitions that are no set'
    return ""


def _window(options: Options, column: Column, problems: list[Problem]) -> Window | None:
    if column.type not in INTEGERS:
        message = f'"{column.name}" is of type {column.type}; a window moves over smallint, integer or bigint'
        problems.append(Problem("window", message))
        return None
    first = _whole(options["window"])
    if first is None or not -INTEGERS[column.type] - 1 <= first <= INTEGERS[column.type]:
        problems.append(
            Problem("window", f'"{options["window"]}" is not the integer that the window begins with')
        )
    premake = _whole(options.get("premake", AHEAD))
    if premake is None or not 0 <= premake < MOST_PARTITIONS:
        problems.append(Problem("premake", f'"{options["premake"]}" is no number of values to keep ready'))
    retention, field = options.get("retention"), "retention"
    if isinstance(retention, Mapping):
        problems += [
            Problem(f"{field}.{each.field}", each.message) for each in unknown_options(retention, ("keep",))
        ]
        retention, field = retention.get("keep", ""), "retention.keep"
    keep = _whole(retention)
    if retention is not None and (keep is None or keep < 1):
        problems.append(Problem(field, f'"{retention}" is no number of values to keep, such as 12'))
    return Window(first, premake, keep) if first is not None and premake is not None else None


def _guard(options: Options, problems: list[Problem]) -> bool:
    chosen = options.get("default", "none")
    if chosen not in ("none", "guard"):
        problems.append(Problem("default", f'"{chosen}" is neither "none" nor "guard"'))
    return chosen == "guard"


def _whole(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,19}\s*", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
