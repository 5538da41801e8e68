"""Plan how partitions of a live table give way to others: drain, split, merge, rehash. Nothing is written here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from evolve.app.convert_table import partitioner_for
from evolve.app.premake_partitions import check_scheme, scheme_of, sub_of
from evolve.config import PartitionedTable
from evolve.errors import Misuse, Refused
from evolve.partition import move
from evolve.partition.conversion import Conversion, Move, Planned
from evolve.partition.maintain import Partitioned
from evolve.partition.obstacles import Obstacle
from evolve.partition.pieces import Exchange, Source, in_the_way, taken
from evolve.partition.plan import DISK
from evolve.plugin_api import (
    Bound,
    DefaultBound,
    HashBound,
    Options,
    Partition,
    Partitioner,
    Problem,
    Problems,
    Profile,
    bound_sql,
    covers,
    overlap,
    tiles,
)
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversions import ConversionExists, find_conversion
from evolve.postgres.inventory import read_inventory, read_profile, read_size, server_version
from evolve.postgres.partitions import (
    bound_condition,
    existing_names,
    free_bytes,
    half_detached,
    read_partitioned,
)
from evolve.postgres.writable import refuse_read_only
from evolve.sql.names import QualifiedName


class NoDefaultPartition(Refused):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'"{table.plain}" has no default partition: there is nothing to drain',
            fix=f"look at its partitions: evolve partition status {table.shell}",
        )


class NoSuchPartition(Misuse):
    def __init__(self, table: QualifiedName, name: str, known: Sequence[str]) -> None:
        listed = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
        super().__init__(
            f'"{table.plain}" has no partition "{name}"', fix=f"name one of them: {listed or 'it has none'}"
        )


class NotHashed(Refused):
    def __init__(self, table: QualifiedName, method: str) -> None:
        super().__init__(
            f'"{table.plain}" is partitioned by {method}, and only a hash has a modulus',
            fix=f"evolve partition split {table.shell} PARTITION, or evolve partition merge {table.shell} …",
        )


class BadMove(Misuse):
    """The method has no answer to what was asked."""

    def __init__(self, table: QualifiedName, command: str, problems: tuple[Problem, ...]) -> None:
        listed = "".join(f"\n  - {problem.field}: {problem.message}" for problem in problems)
        super().__init__(
            f'evolve partition {command} "{table.plain}": the method cannot do that:{listed}',
            fix=f"evolve partition {command} --help; its partitions: evolve partition status {table.shell}",
        )


class NothingToMove(Refused):
    def __init__(self, table: QualifiedName, what: str) -> None:
        super().__init__(
            f'"{table.plain}": {what}',
            why="nothing would change",
            fix=f"look at its partitions: evolve partition status {table.shell}",
        )


class CannotMove(Refused):
    """All that stands in the way, at once; nothing was touched."""

    def __init__(self, table: QualifiedName, command: str, obstacles: tuple[Obstacle, ...]) -> None:
        listed = "".join(f"\n  - {obstacle.what}\n    fix: {obstacle.fix}" for obstacle in obstacles)
        things = "one thing stands" if len(obstacles) == 1 else f"{len(obstacles)} things stand"
        super().__init__(f'evolve partition {command} "{table.plain}": {things} in the way:{listed}')
        self.obstacles = obstacles


class WrongPieces(Refused):
    """The method's answer is not what the partitions take; the fault is the method's."""

    def __init__(self, method: str, pieces: Sequence[Bound], sources: Sequence[Partition]) -> None:
        super().__init__(
            f'the method "{method}" wants {", ".join(map(bound_sql, pieces))} in place of '
            f"{', '.join(f'{source.name} {bound_sql(source.bound)}' for source in sources)}",
            why="they do not take the same keys, so rows would have no partition, or two",
            fix="tell whoever wrote the plugin: evolve plugins says where it comes from",
        )


@dataclass(frozen=True, slots=True)
class MoveWish:
    """What the user asks for.

    Args:
        partitions: those that are split or merged; none for drain and rehash, which find them.
        how: options of the split; for rehash the modulus.
    """

    table: QualifiedName
    command: Move
    partitions: tuple[str, ...]
    how: Options


def plan_move(
    url: str,
    tables: Mapping[str, PartitionedTable],
    wish: MoveWish,
    now: datetime,
    *,
    writing: bool = False,
) -> Conversion:
    """Look at the table and work out every step; writes nothing.

    Args:
        writing: it is to be carried out at once, so a server that only reads is refused first.

    Raises:
        NoSuchTable, NotPartitioned, NoScheme, NoSuchPartition, BadMove, BadOptions: the question was wrong.
        ConversionExists: a conversion or another move is under way.
        CannotMove: with everything that stands in the way.
        NoDefaultPartition, NotHashed, NothingToMove, WrongPieces.
    """
    with connect(url, application_name="evolve partition", autocommit=True) as connection:
        if writing:
            refuse_read_only(connection)
        running = find_conversion(connection, wish.table)
        if running is not None:
            raise ConversionExists(wish.table, running.state, running.conversion.command)
        return _planned(connection, tables, wish, now)


def _planned(
    connection: Connection, tables: Mapping[str, PartitionedTable], wish: MoveWish, now: datetime
) -> Conversion:
    parent = read_inventory(connection, wish.table)
    partitioned = read_partitioned(connection, wish.table)
    method, options = scheme_of(connection, tables, wish.table)
    if wish.command == "rehash":
        if partitioned.method != "hash":
            raise NotHashed(wish.table, partitioned.method)
        options = {**options, **wish.how}
    partitioner = partitioner_for(wish.table, method, options, parent.for_plugins())
    check_scheme(partitioned, partitioner)
    chosen = _chosen(partitioned, wish)
    profile = Profile()
    if wish.command in ("drain", "split"):
        leaf = QualifiedName(chosen[0].name, wish.table.schema)
        profile = read_profile(connection, leaf, partitioner, partitioned.key_type)
    siblings = tuple(partition for partition in partitioned.partitions if partition not in chosen)
    bounds, notes = _bounds(wish, partitioner, chosen, siblings, profile, now)
    sources = tuple(
        Source(
            partition,
            read_inventory(connection, QualifiedName(partition.name, wish.table.schema)),
            bound_condition(connection, QualifiedName(partition.name, wish.table.schema)),
        )
        for partition in chosen
    )
    wanted = tuple(
        Partition(
            chosen[0].name if isinstance(bound, DefaultBound) else partitioner.name(wish.table.name, bound),
            bound,
        )
        for bound in bounds
    )
    exchange = Exchange(parent, partitioner, sources, siblings, wanted)
    sizes = [read_size(connection, source.inventory.oid) for source in sources]
    needed = int(sum(size.heap + size.indexes for size in sizes) * DISK)
    obstacles = (
        *in_the_way(exchange, server_version(connection)),
        *(
            Obstacle(
                f"the DETACH CONCURRENTLY of {name} was interrupted",
                f"ALTER TABLE {wish.table.full} DETACH PARTITION {exchange.qualified(name).full} FINALIZE",
            )
            for name in half_detached(connection, wish.table)
        ),
        *_names_taken(connection, exchange),
        *_too_little_disk(connection, needed),
    )
    if obstacles:
        raise CannotMove(wish.table, wish.command, obstacles)
    rows = sum(size.rows for size in sizes)
    listed = ", ".join(f"{partition.name} {bound_sql(partition.bound)}" for partition in chosen[:5])
    return Conversion(
        table=wish.table,
        recipe=wish.command,
        reason=f"about {rows:,} rows of {listed}{' …' if len(chosen) > 5 else ''} move to {len(wanted)} partitions",
        method=method,
        options=json.dumps(dict(options), default=str),
        key=partitioner.key,
        inventory=parent,
        partitions=tuple(Planned(piece.name, bound_sql(piece.partition.bound)) for piece in exchange.pieces),
        notes=(*notes, *_notes(exchange), *_whole(tables, wish.table)),
        own=(),
        unique=(),
        bytes_needed=needed,
        forward=move.forward(exchange),
        abandon=move.abandon(exchange),
        back=move.back(exchange),
        finish=move.finish(exchange),
        replaced=tuple(Planned(partition.name, bound_sql(partition.bound)) for partition in chosen),
    )


def _whole(tables: Mapping[str, PartitionedTable], table: QualifiedName) -> tuple[str, ...]:
    if sub_of(tables, table) is None:
        return ()
    return ("the new partitions hold rows themselves: a move does not cut them once more",)


def _chosen(partitioned: Partitioned, wish: MoveWish) -> tuple[Partition, ...]:
    if wish.command == "rehash":
        return partitioned.partitions
    if wish.command == "drain":
        found = tuple(p for p in partitioned.partitions if isinstance(p.bound, DefaultBound))
        if not found:
            raise NoDefaultPartition(wish.table)
        return found
    by_name = {partition.name: partition for partition in partitioned.partitions}
    for name in wish.partitions:
        if name not in by_name:
            raise NoSuchPartition(wish.table, name, sorted(by_name))
    return tuple(by_name[name] for name in dict.fromkeys(wish.partitions))


def _bounds(
    wish: MoveWish,
    partitioner: Partitioner,
    chosen: tuple[Partition, ...],
    siblings: tuple[Partition, ...],
    profile: Profile,
    now: datetime,
) -> tuple[tuple[Bound, ...], tuple[str, ...]]:
    """What takes the place of `chosen`, and what the user should know of it."""
    answer: Sequence[Bound] | Bound | Problems
    match wish.command:
        case "rehash":
            bounds = tuple(partitioner.wanted(now, profile))
            if {partition.bound for partition in chosen} == set(bounds):
                raise NothingToMove(wish.table, f"it has {len(bounds)} partitions of that modulus already")
            if not tiles(HashBound(1, 0), bounds) or not tiles(
                HashBound(1, 0), [partition.bound for partition in chosen]
            ):
                raise WrongPieces(partitioner.kind, bounds, chosen)
            return bounds, ()
        case "merge":
            merged = partitioner.merge(chosen)
            answer = merged if isinstance(merged, Problems) else (merged,)
        case "split" | "drain":
            answer = partitioner.split(chosen[0], profile, now, wish.how)
    if isinstance(answer, Problems):
        raise BadMove(wish.table, wish.command, answer.found)
    whole = [partition.bound for partition in chosen]
    bounds = tuple(answer)
    if not (tiles(whole[0], bounds) if len(whole) == 1 else tiles(bounds[0], whole)):
        raise WrongPieces(partitioner.kind, bounds, chosen)
    if not isinstance(whole[0], DefaultBound):
        return bounds, ()
    # Intervals between the least and the greatest key of a default partition, some of which others take already.
    crossed = [b for b in bounds if any(overlap(b, there.bound) for there in siblings)]
    notes = tuple(
        f"rows of {bound_sql(bound)} stay in {chosen[0].name}: other partitions take a part of it"
        for bound in crossed
        if not any(covers(there.bound, bound) for there in siblings)
    )
    bounds = tuple(bound for bound in bounds if bound not in crossed)
    if all(isinstance(bound, DefaultBound) for bound in bounds):
        raise NothingToMove(
            wish.table, f"{chosen[0].name} holds no rows that a partition of their own could take"
        )
    return bounds, notes


def _names_taken(connection: Connection, exchange: Exchange) -> tuple[Obstacle, ...]:
    names = taken(exchange)
    twice = sorted({name for name in names if names.count(name) > 1})
    return (
        *(
            Obstacle(
                f'two things would be called "{name}" once names are cut after 63 bytes', "rename an index"
            )
            for name in twice
        ),
        *(
            Obstacle(f'there is a relation "{name}" already, and that name is needed', "rename or drop it")
            for name in existing_names(connection, exchange.parent.schema, names)
        ),
    )


def _too_little_disk(connection: Connection, needed: int) -> tuple[Obstacle, ...]:
    free = free_bytes(connection)
    if free is None or free >= needed:
        return ()
    return (
        Obstacle(
            f"it needs about {needed / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free",
            "make room, or move fewer partitions at a time",
        ),
    )


def _notes(exchange: Exchange) -> tuple[str, ...]:
    table = exchange.parent.table.shell
    old = "the old partition is" if len(exchange.sources) == 1 else "the old partitions are"
    notes = [
        f"{old} kept in step after the swap, so every write to the new ones is done twice until evolve partition "
        f"finish {table}",
    ]
    unique = [index.name for index in exchange.shell().late_indexes if not index.on_parent and index.unique]
    if unique:
        notes.append(
            f"{', '.join(unique)}: unique within each new partition; until finish also within the old one"
        )
    return tuple(notes)
