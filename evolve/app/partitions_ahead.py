"""How long the partitions of each known table will last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from evolve.app.partition_status import PartitionStatus, partition_status
from evolve.app.premake_partitions import known_tables
from evolve.config import PartitionedTable
from evolve.errors import EvolveError
from evolve.plugin_api import Partition, RangeBound
from evolve.postgres.connect import connect
from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class Ahead:
    """One table.

    Args:
        status: None where it could not be read; `error` says why.
        days: until its last partition ends; below 0 where it has ended, None where its key tells no time.
    """

    table: QualifiedName
    status: PartitionStatus | None
    days: float | None = None
    error: EvolveError | None = None


def partitions_ahead(url: str, tables: Mapping[str, PartitionedTable], now: datetime) -> tuple[Ahead, ...]:
    """Every table of the settings, and each that a conversion has partitioned. Reads only.

    Args:
        now: with time zone.

    Raises:
        CannotConnect
    """
    with connect(url, application_name="evolve dashboard", autocommit=True) as connection:
        known = known_tables(connection, tables)
    return tuple(_ahead(url, tables, table, now) for table in known)


def _ahead(url: str, tables: Mapping[str, PartitionedTable], table: QualifiedName, now: datetime) -> Ahead:
    try:
        status = partition_status(url, tables, table, now, look=0)
    except EvolveError as error:
        return Ahead(table, None, error=error)
    found = status.partitioned
    return Ahead(table, status, None if found is None else days_left(found.partitions, now))


def days_left(partitions: tuple[Partition, ...], now: datetime) -> float | None:
    """Until the last bound that is a moment. One without time zone is read as UTC; None: there is no such bound."""
    uppers = [_moment(each.bound.upper) for each in partitions if isinstance(each.bound, RangeBound)]
    ends = [end for end in uppers if end is not None]
    return (max(ends) - now).total_seconds() / 86_400 if ends else None


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None
