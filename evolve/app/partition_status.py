"""How a table is partitioned, what is due, and how far a conversion of it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from evolve.app.convert_table import partitioner_for
from evolve.app.premake_partitions import NoScheme, check_scheme, due_now, scheme_of
from evolve.config import PartitionedTable
from evolve.partition.conversion import Record
from evolve.partition.maintain import Partitioned
from evolve.partition.steps import Copy, Verify
from evolve.plugin_api import Due
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversions import at_work, find_conversion, steps_done
from evolve.postgres.inventory import estimated_rows, read_inventory
from evolve.postgres.partitions import NotPartitioned, read_partitioned
from evolve.sql.names import QualifiedName

LOOK = 1.0  # seconds between two looks at how far a copy is


@dataclass(frozen=True, slots=True)
class AtWork:
    """What a process does right now, seen from another one.

    Args:
        who: its session.
        rows: of the step under way, copied or compared; 0 for a step that counts none.
        total: of the same, by the statistics; None where there are none.
        rows_per_second: over the last moment, waits included; None where nothing was counted.
    """

    who: str
    rows: int
    total: int | None
    rows_per_second: float | None

    @property
    def seconds_left(self) -> float | None:
        """Of this step."""
        if not self.rows_per_second or self.total is None:
            return None
        return max(self.total - self.rows, 0) / self.rows_per_second


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """Args:
    conversion: the one under way, else the last one.
    partitioned: None where it is an ordinary table.
    due: None where no scheme is known.
    at_work: None where no process is.
    """

    table: QualifiedName
    conversion: Record | None
    partitioned: Partitioned | None
    due: Due | None
    at_work: AtWork | None = None


def partition_status(
    url: str,
    tables: Mapping[str, PartitionedTable],
    table: QualifiedName,
    now: datetime,
    *,
    look: float = LOOK,
) -> PartitionStatus:
    """Where rows are being copied it looks twice: the rate of now says when it will end.

    Args:
        look: seconds between the two; 0 looks once and tells no rate.

    Raises:
        NoSuchTable: there is none of this name.
        SchemeDiffers, BadOptions, NoSuchMethod: the settings do not fit the table.
    """
    with connect(url, application_name="evolve partition status", autocommit=True) as connection:
        conversion = find_conversion(connection, table, ended=True)
        inventory = read_inventory(connection, table)
        working = _at_work(connection, conversion, look)
        try:
            partitioned = read_partitioned(connection, table)
        except NotPartitioned:
            return PartitionStatus(table, conversion, None, None, working)
        try:
            method, options = scheme_of(connection, tables, table)
        except NoScheme:
            return PartitionStatus(table, conversion, partitioned, None, working)
        partitioner = partitioner_for(table, method, options, inventory.for_plugins())
        check_scheme(partitioned, partitioner)
        due = due_now(connection, partitioned, partitioner, now)
        return PartitionStatus(table, conversion, partitioned, due, working)


def _at_work(connection: Connection, record: Record | None, look: float) -> AtWork | None:
    if record is None:
        return None
    who = at_work(connection, record.conversion.table)
    if who is None:
        return None
    number = record.done(record.track)
    steps = record.conversion.steps(record.track)
    if number >= len(steps) or not isinstance(step := steps[number], Copy | Verify):
        return AtWork(who, 0, None, None)
    done, total = record.steps_rows(record.track, number), estimated_rows(connection, step.source)
    if not look:
        return AtWork(who, done, total, None)
    before, began = steps_done(connection, record), time.monotonic()
    time.sleep(look)
    rows = steps_done(connection, record) - before
    return AtWork(who, done + rows, total, rows / (time.monotonic() - began) or None)
