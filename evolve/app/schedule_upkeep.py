"""What a scheduler needs to look after the partitioned tables of a database: read from it, written by nobody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from evolve.app.convert_table import partitioner_for, sub_partitioner
from evolve.app.premake_partitions import (
    NothingPartitioned,
    check_scheme,
    known_tables,
    profile_of,
    scheme_of,
    sub_of,
)
from evolve.config import PartitionedTable
from evolve.errors import Refused
from evolve.partition.maintain import Partitioned, create
from evolve.partition.schedule import Ahead, Scheduler, Upkeep, read_time, schedule_text
from evolve.plugin_api import Partitioner, Profile
from evolve.postgres.connect import Connection, connect
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partitions import read_partitioned, read_template
from evolve.postgres.retiring import database_name, journal_is_here
from evolve.sql.names import QualifiedName

YEAR = timedelta(days=366)


class NotByTime(Refused):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'the next partitions of "{table.plain}" depend on its rows, not on the clock',
            why="pg_cron runs SQL that is written down now",
            fix="run evolve partition premake from cron, systemd or Kubernetes: --as cron",
        )


def schedule(
    url: str,
    tables: Mapping[str, PartitionedTable],
    only: QualifiedName | None,
    now: datetime,
    scheduler: Scheduler,
    *,
    role: str,
    at: str,
    folder: Path,
    options: tuple[str, ...] = (),
    image: str | None = None,
) -> str:
    """The unit as text; nothing is changed.

    Args:
        at: time of day, such as "03:17".
        options: of each command it runs.

    Raises:
        NothingPartitioned, NoScheme, NotPartitioned, SchemeDiffers, BadOptions, NotByTime, NoImage, NoSuchTime.
    """
    hour, minute = read_time(at)
    with connect(url, application_name="evolve partition schedule", autocommit=True) as connection:
        targets = [only] if only is not None else known_tables(connection, tables)
        if not targets:
            raise NothingPartitioned
        owners: dict[str, None] = {}
        ahead = []
        for table in targets:
            read_partitioned(connection, table)
            owners[read_template(connection, table).owner] = None
            if scheduler == "pg_cron":
                ahead.append((table, _ahead(connection, tables, table, now)))
        upkeep = Upkeep(
            tuple(targets),
            tuple(owners),
            journal_is_here(connection),
            role,
            database_name(connection),
            str(folder.resolve()),
            ((str(only),) if only is not None else ()) + options,
            hour,
            minute,
            image,
            tuple(ahead),
        )
        return schedule_text(upkeep, scheduler)


def _ahead(
    connection: Connection, tables: Mapping[str, PartitionedTable], table: QualifiedName, now: datetime
) -> tuple[Ahead, ...]:
    """What premake would make within a year, and when."""
    info = read_inventory(connection, table).for_plugins()
    partitioner = partitioner_for(table, *scheme_of(connection, tables, table), info)
    sub = sub_partitioner(table, sub_of(tables, table), info)
    partitioned = read_partitioned(connection, table)
    check_scheme(partitioned, partitioner)
    template = read_template(connection, table)
    profile = profile_of(connection, partitioned)
    due = partitioner.due(table.name, partitioned.partitions, now + YEAR, profile).create
    lead = _lead(partitioner, partitioned, now)
    found = []
    for partition in due:
        moments = partitioner.moments(partition.bound)
        if moments is None:
            raise NotByTime(table)
        begins = moments[0] or now
        make, attach = create(table, partitioner, partition, template, sub)
        found.append(Ahead(QualifiedName(partition.name, table.schema), begins - lead, (*make, *attach)))
    return tuple(found)


def _lead(partitioner: Partitioner, partitioned: Partitioned, now: datetime) -> timedelta:
    """How long before its first row a partition is wanted."""
    wanted = partitioner.wanted(now, Profile())
    last = partitioner.moments(wanted[-1]) if wanted else None
    if last is None:
        raise NotByTime(partitioned.table)
    return (last[0] or now) - now
