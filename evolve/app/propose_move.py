"""What a partitioned table would gain by: which move, of which partition, and why. Nothing is written here."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from evolve.app.convert_table import partitioner_for
from evolve.app.move_partitions import CannotMove, MoveWish, NothingToMove, plan_move
from evolve.app.premake_partitions import check_scheme, due_now, scheme_of
from evolve.config import PartitionedTable
from evolve.partition.conversion import Conversion
from evolve.partition.maintain import Partitioned
from evolve.partition.obstacles import Obstacle
from evolve.plugin_api import DefaultBound, Due, HashBound, Partitioner, Problems, Profile, bound_sql
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversions import ConversionExists, find_conversion
from evolve.postgres.inventory import read_inventory, read_profile
from evolve.postgres.partitions import holds_rows, read_partitioned
from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    Args:
        reason: what speaks for it, as a sentence without a full stop.
    """

    wish: MoveWish
    reason: str

    @property
    def command(self) -> str:
        """As it is typed."""
        return shlex.join(
            ("evolve", "partition", self.wish.command, str(self.wish.table), *self.wish.partitions)
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """
    Args:
        candidates: what most rows gain by comes first; none where the table is as its scheme wants it.
        plan: of the first candidate; None where there is none, or something stands in its way.
        obstacles: what stands in its way.
        due: partitions that upkeep would make.
    """

    table: QualifiedName
    candidates: tuple[Candidate, ...]
    plan: Conversion | None
    obstacles: tuple[Obstacle, ...]
    due: Due


def is_partitioned(url: str, table: QualifiedName) -> bool:
    """Whether it is, rather than an ordinary table.

    Raises:
        NoSuchTable
    """
    with connect(url, application_name="evolve partition", autocommit=True) as connection:
        return read_inventory(connection, table).kind == "p"


def propose_move(
    url: str, tables: Mapping[str, PartitionedTable], table: QualifiedName, now: datetime
) -> Proposal:
    """
    Raises:
        NoScheme: how it is partitioned is not known here.
        ConversionExists: a conversion or a move is under way.
        NoSuchTable, NotPartitioned, SchemeDiffers, BadOptions, NoSuchMethod.
    """
    with connect(url, application_name="evolve partition", autocommit=True) as connection:
        running = find_conversion(connection, table)
        if running is not None:
            raise ConversionExists(table, running.state, running.conversion.command)
        inventory = read_inventory(connection, table)
        partitioned = read_partitioned(connection, table)
        partitioner = partitioner_for(table, *scheme_of(connection, tables, table), inventory.for_plugins())
        check_scheme(partitioned, partitioner)
        due = due_now(connection, partitioned, partitioner, now)
        candidates = tuple(_candidates(connection, partitioned, partitioner, now))
    useful: list[Candidate] = []
    plan: Conversion | None = None
    obstacles: tuple[Obstacle, ...] = ()
    for candidate in candidates:
        if useful:
            useful.append(candidate)
            continue
        try:
            plan = plan_move(url, tables, candidate.wish, now)
        except NothingToMove:
            continue
        except CannotMove as error:
            obstacles = error.obstacles
        useful.append(candidate)
    return Proposal(table, tuple(useful), plan, obstacles, due)


def _candidates(
    connection: Connection, partitioned: Partitioned, partitioner: Partitioner, now: datetime
) -> Iterator[Candidate]:
    table = partitioned.table
    for partition in partitioned.partitions:
        leaf = QualifiedName(partition.name, table.schema)
        if isinstance(partition.bound, DefaultBound) and holds_rows(connection, leaf.full):
            reason = (
                f"{partition.name} holds rows: each new partition locks it and reads it through, and no query "
                "leaves it out"
            )
            yield Candidate(MoveWish(table, "drain", (), {}), reason)
    by_rows = sorted(partitioned.partitions, key=lambda each: -partitioned.rows.get(each.name, 0))
    for partition in by_rows:
        leaf = QualifiedName(partition.name, table.schema)
        if isinstance(partition.bound, DefaultBound) or not holds_rows(connection, leaf.full):
            continue
        if isinstance(partition.bound, HashBound) and partition.bound.modulus >= _modulus(partitioner, now):
            continue
        profile = read_profile(connection, leaf, partitioner, partitioned.key_type)
        pieces = partitioner.split(partition, profile, now, {})
        if not isinstance(pieces, Problems):
            rows = partitioned.rows.get(partition.name, 0)
            reason = (
                f"{partition.name} {bound_sql(partition.bound)}, about {rows:,} rows, is {len(pieces)} partitions "
                "by the scheme of the table"
            )
            yield Candidate(MoveWish(table, "split", (partition.name,), {}), reason)


def _modulus(partitioner: Partitioner, now: datetime) -> int:
    """Into how many parts the scheme spreads rows."""
    return max(
        (bound.modulus for bound in partitioner.wanted(now, Profile()) if isinstance(bound, HashBound)),
        default=1,
    )
