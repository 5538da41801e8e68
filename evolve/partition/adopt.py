"""Partitions that somebody else made: by which scheme of a method they are cut, and what upkeep should know of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from evolve.partition.maintain import Partitioned
from evolve.plugin_api import (
    DefaultBound,
    Due,
    HashBound,
    ListBound,
    OpaqueBound,
    Options,
    Partition,
    Partitioner,
    Problem,
    Problems,
    Profile,
    RangeBound,
    TableInfo,
    Value,
    bound_sql,
    gaps,
)
from evolve.sql.names import QualifiedName

_SPANS = ("hour", "day", "week", "month", "quarter", "year")
_INTEGERS = ("smallint", "integer", "bigint")
_SHOWN = 5  # things of one kind that are told by name
_LONGEST_NAME = 40  # bytes of a set's name


@dataclass(frozen=True, slots=True)
class Leaf:
    """A partition as it is stored.

    Args:
        kind: as in pg_class: "r" an ordinary table, "p" partitioned itself, "f" foreign.
        traits: what a parent does not pass on, by its title, as text; "" where there is none.
    """

    name: str
    kind: str
    comment: str | None
    traits: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scheme:
    """
    Args:
        options: for the method; what the user gave is among them.
        fitting: how many partitions are exactly what the method would make.
    """

    options: Options
    partitioner: Partitioner
    fitting: int


@dataclass(frozen=True, slots=True)
class Adoption:
    """
    Args:
        settings: the section to be written; "" where the settings say it already.
        file: what it is written into; None where it is not.
        fitting: how many partitions are what the scheme would make.
        unmarked: partitions that get evolve's mark.
        remarks: what is out of the ordinary, each as a sentence without a full stop.
    """

    table: QualifiedName
    method: str
    options: Options
    partitioned: Partitioned
    fitting: int
    settings: str
    file: Path | None
    unmarked: tuple[Leaf, ...]
    remarks: tuple[str, ...]
    due: Due


def scheme_of(
    method: type[Partitioner],
    partitioned: Partitioned,
    info: TableInfo,
    given: Options,
    zones: Sequence[str],
    now: datetime,
) -> Scheme | Problems:
    """The options by which most of the partitions are what the method would make.

    Args:
        given: options of the user, which hold.
        zones: whose midnights may count, the likeliest first.
    """
    found: list[Scheme] = []
    problems: Problems | None = None
    for guess in _guesses(partitioned, zones):
        options = {**guess, **given}
        made = method.parse(options, info)
        if isinstance(made, Problems):
            problems = problems or made
            continue
        fitting = sum(_is_one(made, partition, now) for partition in partitioned.partitions)
        found.append(Scheme(options, made, fitting))
    best = max(found, key=lambda scheme: scheme.fitting, default=None)
    if best is not None and (best.fitting or "interval" in given or method.method != "range"):
        return best
    return problems if best is None and problems is not None else _no_interval(given)


def remarks(scheme: Scheme, partitioned: Partitioned, leaves: Sequence[Leaf]) -> tuple[str, ...]:
    """What is out of the ordinary, each as a sentence without a full stop."""
    partitions = partitioned.partitions
    return (
        *_unreadable(partitions),
        *_names(scheme, partitioned),
        *_lint(scheme, partitioned),
        *_gaps(partitions),
        *_kinds(leaves),
        *_traits(leaves),
    )


# -- which scheme -----------------------------------------------------------------------------------------------------
def _guesses(partitioned: Partitioned, zones: Sequence[str]) -> Iterator[dict[str, object]]:
    key = partitioned.key
    match partitioned.method:
        case "hash":
            moduli = [p.bound.modulus for p in partitioned.partitions if isinstance(p.bound, HashBound)]
            yield {"key": key[0] if len(key) == 1 else list(key), "modulus": max(moduli, default=0)}
        case "list":
            yield {"key": key[0], **_sets(partitioned)}
        case _:
            widths = _widths(partitioned.partitions)
            if partitioned.key_type in _INTEGERS:
                yield from ({"key": key[0], "interval": width} for width in widths or [0])
                return
            codecs: tuple[dict[str, object], ...] = ({},)
            if partitioned.key_type == "uuid":
                codecs = ({"codec": "uuidv7"}, {"codec": "ulid"})
            for codec in codecs:
                for zone in zones:
                    named: dict[str, object] = {} if zone == "UTC" else {"timezone": zone}
                    for span in (*_SPANS, *widths):
                        yield {"key": key[0], **codec, "interval": span, **named}


def _widths(partitions: Sequence[Partition]) -> list[object]:
    """The usual widths of ranges, the commonest first."""
    found: Counter[object] = Counter()
    for partition in partitions:
        bound = partition.bound
        if not isinstance(bound, RangeBound) or bound.lower is None or bound.upper is None:
            continue
        match bound.lower, bound.upper:
            case int() as low, int() as high:
                found[high - low] += 1
            case datetime() as low, datetime() as high:
                found.update(_spans(low, high))
            case date() as low, date() as high if not isinstance(low, datetime):
                found.update(_spans(_at_midnight(low), _at_midnight(high)))
            case _:
                pass
    return [width for width, _ in found.most_common(3)]


def _spans(low: datetime, high: datetime) -> Iterator[str]:
    apart = high - low
    months = (high.year - low.year) * 12 + high.month - low.month
    if low.day == high.day == 1 and months > 1:
        yield f"{months} months"
    elif apart % timedelta(days=1) == timedelta(0) and apart.days > 1:
        yield f"{apart.days} days"
    elif apart % timedelta(hours=1) == timedelta(0):
        yield f"{apart // timedelta(hours=1)} hours"


def _at_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _sets(partitioned: Partitioned) -> dict[str, object]:
    lists = [(p.name, p.bound.values) for p in partitioned.partitions if isinstance(p.bound, ListBound)]
    guarded = any(isinstance(p.bound, DefaultBound) for p in partitioned.partitions)
    single = [values[0] for _, values in lists if len(values) == 1 and isinstance(values[0], int)]
    if partitioned.key_type in _INTEGERS and single and len(single) == len(lists) and not guarded:
        return {"window": min(single)}
    values: dict[str, object] = {}
    home: dict[str, object] = {}
    for name, own in lists:
        label = _label(partitioned.table.name, name)
        if None in own:
            home["null"] = label
        plain = [_plain(value) for value in own if value is not None]
        if plain:
            values[label] = plain
    return {"values": values, **home, **({"default": "guard"} if guarded else {})}


def _label(table: str, name: str) -> str:
    """What the partition `name` is called as a set, so that the method gives it that very name where it can."""
    label = name.removeprefix(f"{table}_").encode()[:_LONGEST_NAME].decode(errors="ignore")
    return f"set_{label}"[:_LONGEST_NAME] if label == "default" or label.startswith("in_") else label


def _plain(value: Value) -> object:
    return value if isinstance(value, int | str) else str(value)


def _is_one(partitioner: Partitioner, partition: Partition, now: datetime) -> bool:
    """Whether it is what the method would make: on its grid, and not to be cut."""
    bound = partition.bound
    if isinstance(bound, OpaqueBound | DefaultBound):
        return False
    if isinstance(bound, RangeBound) and (bound.lower is None or bound.upper is None):
        return False
    if isinstance(bound, ListBound | HashBound):
        return True
    ours = Partition(partitioner.name("t", bound), bound)
    if partitioner.lint("t", ours, ()):
        return False
    return isinstance(partitioner.split(ours, Profile(), now, {}), Problems)


def _no_interval(given: Options) -> Problems:
    tried = f'; "{given["interval"]}" does not' if "interval" in given else ""
    return Problems(
        (Problem("interval", f"no usual interval fits the bounds of its partitions{tried}: say which it is"),)
    )


# -- what is out of the ordinary --------------------------------------------------------------------------------------
def _unreadable(partitions: Sequence[Partition]) -> Iterator[str]:
    for partition in partitions:
        if isinstance(partition.bound, OpaqueBound):
            yield f"the bound of {partition.name} cannot be read: {bound_sql(partition.bound)}; it is left alone"


def _names(scheme: Scheme, partitioned: Partitioned) -> Iterator[str]:
    other = []
    for partition in partitioned.partitions:
        if isinstance(partition.bound, OpaqueBound | DefaultBound):
            continue
        name = scheme.partitioner.name(partitioned.table.name, partition.bound)
        if name != partition.name:
            other.append((partition.name, name))
    if other:
        there, ours = other[0]
        count = f"{len(other)} partitions keep names" if len(other) > 1 else "one partition keeps a name"
        yield f"{count} of another kind: {there}, where evolve would say {ours} and so calls those to come"


def _lint(scheme: Scheme, partitioned: Partitioned) -> Iterator[str]:
    """What the method says of each, but for its name."""
    said: list[str] = []
    for partition in partitioned.partitions:
        if isinstance(partition.bound, OpaqueBound):
            continue
        others = [each for each in partitioned.partitions if each != partition]
        ours = partition
        if not isinstance(partition.bound, DefaultBound):
            ours = Partition(
                scheme.partitioner.name(partitioned.table.name, partition.bound), partition.bound
            )
        said += [
            line.replace(ours.name, partition.name)
            for line in scheme.partitioner.lint(partitioned.table.name, ours, others)
        ]
    yield from said[:_SHOWN]
    if len(said) > _SHOWN:
        yield f"and {len(said) - _SHOWN} more of this kind"


def _gaps(partitions: Sequence[Partition]) -> Iterator[str]:
    for gap in gaps(partitions)[:_SHOWN]:
        yield f"no partition takes {bound_sql(gap).removeprefix('FOR VALUES ')}: premake fills what its scheme wants"


def _kinds(leaves: Sequence[Leaf]) -> Iterator[str]:
    words = {"p": "partitioned themselves", "f": "foreign tables"}
    for kind, word in words.items():
        names = [leaf.name for leaf in leaves if leaf.kind == kind]
        if names:
            yield f"{_some(names)}: {word}; those that evolve makes beside them are plain tables"


def _traits(leaves: Sequence[Leaf]) -> Iterator[str]:
    """Where partitions differ from most of their kind; a new one is made like the newest."""
    plain = [leaf for leaf in leaves if leaf.kind == "r"]
    if len(plain) < 2:
        return
    for title in plain[0].traits:
        usual, _ = Counter(leaf.traits[title] for leaf in plain).most_common(1)[0]
        other: dict[str, list[str]] = {}
        for leaf in plain:
            if leaf.traits[title] != usual:
                other.setdefault(leaf.traits[title], []).append(leaf.name)
        for value, names in other.items():
            yield f"{title}: {_some(names)}: {value or 'none'}, the others: {usual or 'none'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
