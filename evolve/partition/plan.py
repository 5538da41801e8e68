"""From a table and a wish to a conversion: which recipe, which partitions, which steps, and what people must know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal

from evolve.errors import Refused
from evolve.partition import attach, convert
from evolve.partition.below import check, method_and_key
from evolve.partition.conversion import Answer, Conversion, Planned, Recipe
from evolve.partition.inventory import Inventory
from evolve.partition.naming import SYNC_TRIGGER, TRUNCATE_TRIGGER, Names
from evolve.partition.obstacles import UniqueAnswer
from evolve.partition.shell import Shell, leaf_index
from evolve.plugin_api import (
    BadBounds,
    Bound,
    DefaultBound,
    HashBound,
    ListBound,
    NoPartitionFor,
    NotAdopted,
    Options,
    Partition,
    Partitioner,
    Profile,
    RangeBound,
    Value,
    bound_sql,
    less,
    overlap,
    tiles,
)
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.statements import Statement

DISK = 2.2  # times the table: the copy, its indexes while they are built, and the WAL of both


class NoRecipe(Refused):
    def __init__(self, table: QualifiedName, reason: str) -> None:
        super().__init__(
            f'"{table.plain}" cannot become the first partition as it is: {reason}', fix="--recipe copy"
        )


class NoDefaultYet(Refused):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'"{table.plain}" cannot be copied into a table with a default partition',
            why="until the swap, a default partition of evolve's own catches rows that fit no other",
            fix="--recipe attach, or convert it without a default partition and let evolve partition premake add it",
        )


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for.

    Args:
        options: for the partitioner.
        unique: answers for unique keys that lack the partition key.
        sub: how each partition is cut once more, as the settings say it; None: not at all.
    """

    table: QualifiedName
    method: str
    options: Options
    recipe: Literal["auto", "copy", "attach"] = "auto"
    unique: Mapping[str, UniqueAnswer] = field(default_factory=dict)
    sub: object = None

    @property
    def id(self) -> str:
        """Ten hex digits of everything asked for."""
        asked: list[object] = [
            self.table.full,
            self.method,
            dict(self.options),
            self.recipe,
            dict(self.unique),
        ]
        if self.sub is not None:
            asked.append(self.sub)
        return sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:10]


def plan(
    inventory: Inventory,
    partitioner: Partitioner,
    profile: Profile,
    now: datetime,
    wish: Wish,
    size: int,
    sub: Partitioner | None = None,
) -> Conversion:
    """Every step, from a table that nothing stands in the way of.

    Args:
        size: bytes of the table with its indexes.
        sub: cuts each partition once more, but for the table itself where that becomes one.

    Raises:
        BadSub, SubKeyMissing: partitions cannot be cut like that.
        NoRecipe: "attach" was asked for and is not to be had.
        NoDefaultYet: the rows would have to be copied, and the method wants a default partition.
        TooManyPartitions: of the partitioner.
    """
    names = Names(inventory.table, inventory.oid)
    shell = Shell(names, inventory, partitioner, wish.unique, sub)
    if sub is not None:
        check(sub, inventory.table, shell.unique_across)
    recipe, reason, adopted = _choose(wish, partitioner, profile, now)
    if adopted is not None:
        first = Partition(partitioner.name(inventory.name, adopted), adopted)
        _refuse_homeless(partitioner, (first,), profile)
        due = partitioner.due(inventory.name, (first,), now, profile)
        rest = due.create
        partitions: tuple[Partition, ...] = (first, *rest)
        fresh = rest
        if due.conflicts:
            crossed = due.conflicts[0]
            one, other = (
                f"{each.name} {bound_sql(each.bound)}" for each in (crossed.wanted, crossed.existing)
            )
            raise BadBounds(partitioner.kind, f"partitions that overlap: {one} and {other}")
        forward = attach.forward(shell, first, rest)
        abandon = attach.abandon(shell)
        back = attach.back(shell, first, rest)
        finish = attach.finish(shell)
    else:
        partitions = fresh = partitioner.initial(inventory.name, profile, now)
        if any(isinstance(partition.bound, DefaultBound) for partition in partitions):
            raise NoDefaultYet(wish.table)
        _refuse_homeless(partitioner, partitions, profile)
        forward = convert.forward(shell, partitions)
        abandon = convert.abandon(shell)
        back = convert.back(shell)
        finish = convert.finish(shell)
    return Conversion(
        table=inventory.table,
        recipe=recipe,
        reason=reason,
        method=wish.method,
        options=json.dumps(dict(wish.options), default=str),
        key=partitioner.key,
        inventory=inventory,
        partitions=tuple(Planned(partition.name, bound_sql(partition.bound)) for partition in partitions),
        notes=_notes(shell, recipe),
        own=(
            SYNC_TRIGGER,
            TRUNCATE_TRIGGER,
            names.bound_check,
            names.wide_key,
            *attach.widened_indexes(shell),
        ),
        unique=tuple(Answer(name, becomes) for name, becomes in sorted(wish.unique.items())),
        bytes_needed=int(size * DISK) if recipe == "copy" else 0,
        forward=forward,
        abandon=abandon,
        back=back,
        finish=finish,
        plan_id=wish.id,
        sub=json.dumps(dict(wish.sub), default=str) if isinstance(wish.sub, Mapping) else None,
        cut=None if sub is None else tuple(leaf for leaf, above in shell.holders(fresh) if above is not None),
    )


def shell_of(conversion: Conversion, partitioner: Partitioner, sub: Partitioner | None = None) -> Shell:
    unique: dict[str, UniqueAnswer] = {answer.name: answer.becomes for answer in conversion.unique}
    return Shell(conversion.names, conversion.inventory, partitioner, unique, sub)


def settling(
    conversion: Conversion,
    partitioner: Partitioner,
    profile: Profile,
    now: datetime,
    existing: Sequence[Partition],
    sub: Partitioner | None = None,
) -> tuple[Statement, ...]:
    """One transaction that gives strays their partitions: the catch is taken off, emptied into them, and put back.

    Args:
        profile: of the strays.
        existing: partitions of the shadow.

    Raises:
        NoHome: no bound that the partitioner wants takes them.
    """
    shell = shell_of(conversion, partitioner, sub)
    names = conversion.names
    missing = [
        partition
        for partition in partitioner.initial(names.table.name, profile, now)
        if not any(overlap(partition.bound, there.bound) for there in existing)
    ]
    if not missing:
        raise NoHome(names.table, f"{profile.low} … {profile.high}")
    strays, shadow = names.strays.full, names.shadow.full
    columns = ", ".join(quote(name) for name in conversion.inventory.stored_columns)
    statements = [
        _quick(f"LOCK TABLE {shadow} IN ACCESS EXCLUSIVE MODE"),
        _quick(f"ALTER TABLE {shadow} DETACH PARTITION {strays}"),
    ]
    for partition in missing:
        statements += shell.partition(partition)
        statements += [
            _quick(shell.index_on_leaf(index, leaf, concurrently=False))
            for index in shell.late_indexes
            if not index.on_parent
            for leaf, _ in shell.holders((partition,))
        ]
    statements += [
        _quick(
            f"WITH moved AS (DELETE FROM {strays} RETURNING {columns}) "  # noqa: S608 - quoted names
            f"INSERT INTO {shadow} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM moved"
        ),
        _quick(f"ALTER TABLE {shadow} ATTACH PARTITION {strays} DEFAULT"),
    ]
    return tuple(statements)


class NoHome(Refused):
    def __init__(self, table: QualifiedName, keys: str) -> None:
        super().__init__(
            f'rows of "{table.plain}" with keys {keys} belong to no partition that the method wants',
            fix=f"correct those rows, then evolve partition convert {table.shell} --resume",
        )


def _choose(
    wish: Wish, partitioner: Partitioner, profile: Profile, now: datetime
) -> tuple[Recipe, str, Bound | None]:
    if wish.recipe == "copy":
        return "copy", "asked for", None
    adopted = partitioner.adopt(profile, now)
    if wish.recipe == "attach":
        if isinstance(adopted, NotAdopted):
            raise NoRecipe(wish.table, adopted.reason)
        return "attach", "asked for", adopted
    if isinstance(adopted, NotAdopted):
        return "copy", adopted.reason, None
    if isinstance(adopted, HashBound):
        return "copy", "hashed rows spread over all partitions, so one partition would bring nothing", None
    return (
        "attach",
        f"every row there is fits {bound_sql(adopted)}, so the table becomes the first partition and no row moves",
        adopted,
    )


def _refuse_homeless(partitioner: Partitioner, partitions: Sequence[Partition], profile: Profile) -> None:
    homeless = _homeless(partitions, profile)
    if homeless:
        raise NoPartitionFor(partitioner.key[0], homeless, "tell whoever wrote the method's plugin")


def _homeless(partitions: Sequence[Partition], profile: Profile) -> tuple[str, ...]:
    """Keys that the table holds and that none of `partitions` takes."""
    bounds = [partition.bound for partition in partitions]
    hashed = [bound for bound in bounds if isinstance(bound, HashBound)]
    if hashed:
        return () if tiles(HashBound(1, 0), hashed) else ("one that hashes to a remainder that is left out",)
    if all(isinstance(bound, ListBound) for bound in bounds):
        taken = {value for bound in bounds if isinstance(bound, ListBound) for value in bound.values}
        return tuple(str(value) for value in profile.values if value not in taken)
    ranges = [bound for bound in bounds if isinstance(bound, RangeBound)]
    ends = [value for value in (profile.low, profile.high) if value is not None]
    return tuple(
        str(value) for value in ends if ranges and not any(_within(value, bound) for bound in ranges)
    )


def _within(value: Value, bound: RangeBound) -> bool:
    try:
        above = bound.lower is None or not less(value, bound.lower)
        return above and (bound.upper is None or less(value, bound.upper))
    except TypeError:
        return True  # bounds of another kind than the column's values: the server judges


def _notes(shell: Shell, recipe: Recipe) -> tuple[str, ...]:
    """What the application will notice."""
    primary = shell.inventory.primary_key
    notes = []
    if primary is not None and shell.primary_is_widened:
        narrow, wide = ", ".join(primary.columns), ", ".join(shell.primary_key)
        notes.append(
            f"the primary key becomes ({wide}): ({narrow}) alone is no longer kept unique by the server, and "
            f"INSERT … ON CONFLICT ({narrow}) must name ({wide})"
        )
    for name, becomes in shell.unique.items():
        if becomes == "widen":
            notes.append(f'"{name}" becomes unique together with {", ".join(shell.partitioner.key)}')
        else:
            notes.append(
                f'"{name}" becomes unique within each partition only, and no ON CONFLICT can name it'
            )
    for foreign in shell.inventory.inbound:
        notes.append(
            f'"{foreign.name}" of {foreign.source} points at the partitioned table from the swap on; that table is '
            "locked for the same milliseconds, and the key is validated anew beside the traffic"
        )
    notes += [f"not carried: {thing}" for thing in shell.inventory.lost]
    if shell.sub is not None:
        whole = "; the table itself stays whole" if recipe == "attach" else ""
        notes.append(f"new partitions are cut once more, by {method_and_key(shell.sub)}{whole}")
    movers = [t.name for t in shell.inventory.triggers if t.row and t.before]
    if movers:
        notes.append(
            f"row triggers that fire before ({', '.join(movers)}) must not move a row to another partition"
        )
    if recipe == "copy":
        notes.append(
            f"{shell.names.retired.plain} is kept in step after the swap, so every write is done twice until "
            f"evolve partition finish {shell.names.table.shell}"
        )
    else:
        notes.append(
            "from the CHECK on, a row beyond the first partition's bound is refused until the swap; after the "
            "swap the way back is open until such a row comes"
        )
    return tuple(notes)


def taken_names(conversion: Conversion) -> tuple[str, ...]:
    """Names of relations that the conversion will make in the table's schema."""
    names = conversion.names
    inventory = conversion.inventory
    made = [names.shadow.name, names.strays.name, names.retired.name, names.wide_key, names.narrow_key]
    made += [partition.name for partition in conversion.partitions]
    parts = [
        *(key.name for key in inventory.keys),
        *(index.name for index in inventory.indexes),
        *(sequence.name for sequence in inventory.sequences if sequence.identity),
    ]
    made += [name for part in parts for name in (names.fresh(part), names.old(part))]
    tables = [*(partition.name for partition in conversion.partitions), *(conversion.cut or ())]
    made += conversion.cut or ()
    made += [leaf_index(table, index.name) for table in tables for index in inventory.indexes]
    return tuple(made)


def _quick(sql: str) -> Statement:
    return Statement(
        sql, LockMode.ACCESS_EXCLUSIVE, "on a table that only the sync trigger knows; a few rows"
    )
