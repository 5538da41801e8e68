"""How a table is partitioned, what is due, and how far a conversion of it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from evolve.app.convert_table import partitioner_for
from evolve.app.premake_partitions import NoScheme, check_scheme, due_now, scheme_of
from evolve.config import PartitionedTable
from evolve.partition.conversion import Record
from evolve.partition.maintain import Partitioned
from evolve.plugin_api import Due
from evolve.postgres.connect import connect
from evolve.postgres.conversions import find_conversion
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partitions import NotPartitioned, read_partitioned
from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """Args:
    conversion: the one under way, else the last one.
    partitioned: None where it is an ordinary table.
    due: None where no scheme is known.
    """

    table: QualifiedName
    conversion: Record | None
    partitioned: Partitioned | None
    due: Due | None


def partition_status(
    url: str, tables: Mapping[str, PartitionedTable], table: QualifiedName, now: datetime
) -> PartitionStatus:
    """
    Raises:
        NoSuchTable: there is none of this name.
        SchemeDiffers, BadOptions, NoSuchMethod: the settings do not fit the table.
    """
    with connect(url, application_name="evolve partition status", autocommit=True) as connection:
        conversion = find_conversion(connection, table, ended=True)
        inventory = read_inventory(connection, table)
        try:
            partitioned = read_partitioned(connection, table)
        except NotPartitioned:
            return PartitionStatus(table, conversion, None, None)
        try:
            method, options = scheme_of(connection, tables, table)
        except NoScheme:
            return PartitionStatus(table, conversion, partitioned, None)
        partitioner = partitioner_for(table, method, options, inventory.for_plugins())
        check_scheme(partitioned, partitioner)
        return PartitionStatus(
            table, conversion, partitioned, due_now(connection, partitioned, partitioner, now)
        )
