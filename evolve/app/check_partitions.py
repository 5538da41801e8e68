"""Tell in time what is wrong with partitioned tables: no future left, rows astray, upkeep that does not run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from evolve.app.convert_table import BadOptions, partitioner_for
from evolve.app.premake_partitions import (
    NothingPartitioned,
    SchemeDiffers,
    check_scheme,
    configured_table,
    due_now,
    known_tables,
    profile_of,
    scheme_of,
)
from evolve.app.retain_partitions import retention_of
from evolve.config import PartitionedTable
from evolve.errors import Refused
from evolve.partition.health import Health, judge, overdue
from evolve.partition.retention import for_partitioner
from evolve.partition.upkeep import Checked
from evolve.plugin_api import DefaultBound, Partitioner, Problem
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversions import last_scheme
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partition_health import read_found
from evolve.postgres.partitions import read_partitioned, read_template
from evolve.postgres.retiring import read_all_detached, read_attached
from evolve.sql.names import QualifiedName

_SPAN = re.compile(r"\s*(\d{1,5})\s+(hour|day|week|month)s?\s*")
_HOURS = {"hour": 1, "day": 24, "week": 168, "month": 730}


def check_partitions(
    url: str, tables: Mapping[str, PartitionedTable], only: QualifiedName | None, now: datetime
) -> tuple[Checked, ...]:
    """Look at every known table, or at `only` one; changes nothing, and may be asked of a standby.

    A table that cannot be judged because it is not what the settings say is critical, and keeps no other from being
    looked at.

    Raises:
        NothingPartitioned: there is no table to look at.
        NoScheme, BadOptions, NoSuchMethod: the settings make no sense.
    """
    with connect(url, application_name="evolve partition check", autocommit=True) as connection:
        targets = [only] if only is not None else known_tables(connection, tables)
        if not targets:
            raise NothingPartitioned
        found = []
        for table in targets:
            try:
                found.append(Checked(table, _health(connection, tables, table, now)))
            except Refused as error:
                found.append(Checked(table, None, error))
        return tuple(found)


def _health(
    connection: Connection, tables: Mapping[str, PartitionedTable], table: QualifiedName, now: datetime
) -> Health:
    method, options = scheme_of(connection, tables, table)
    policy = retention_of(tables, table)
    partitioner = partitioner_for(table, method, options, read_inventory(connection, table).for_plugins())
    partitioned = read_partitioned(connection, table)
    check_scheme(partitioned, partitioner)
    profile = profile_of(connection, partitioned)
    default = next(
        (each.name for each in partitioned.partitions if isinstance(each.bound, DefaultBound)), None
    )
    found = read_found(
        connection,
        table,
        read_template(connection, table),
        tuple(read_attached(connection, table).values()),
        default,
        [each.name for each in partitioned.partitions if _fresh(partitioner.moments(each.bound), now)],
    )
    detached = [(each.name, each.moment) for each in read_all_detached(connection, table)]
    found = replace(
        found,
        overdue=overdue(detached, policy, now),
        policy=_drift(connection, tables, table, partitioner),
    )
    due = due_now(connection, partitioned, partitioner, now)
    return judge(partitioned, partitioner, due, profile, found, now, alert_below(tables, table))


def alert_below(tables: Mapping[str, PartitionedTable], table: QualifiedName) -> timedelta | int | None:
    """How much future is too little, as the settings say it; None where they do not.

    Raises:
        BadOptions: it makes no sense.
    """
    configured = configured_table(tables, table)
    value = None if configured is None else configured.options.get("alert_below")
    if configured is None or value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    span = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if span is None:
        message = f'"{value}" is neither a span, such as "1 month", nor a number of keys'
        raise BadOptions(table, configured.method, (Problem("alert_below", message),))
    return timedelta(hours=int(span[1]) * _HOURS[span[2]])


def _fresh(moments: tuple[datetime | None, datetime | None] | None, now: datetime) -> bool:
    """Rows of now or later come into it."""
    return moments is not None and moments[0] is not None and (moments[1] is None or moments[1] > now)


def _drift(
    connection: Connection,
    tables: Mapping[str, PartitionedTable],
    table: QualifiedName,
    partitioner: Partitioner,
) -> tuple[str, ...]:
    """In what the settings differ from what the table was converted by."""
    configured, noted = configured_table(tables, table), last_scheme(connection, table)
    if configured is None or noted is None:
        return ()
    try:
        info = read_inventory(connection, table).for_plugins()
        before = partitioner_for(table, noted.method, for_partitioner(noted.options), info)
        check_scheme(read_partitioned(connection, table), before)
    except (BadOptions, SchemeDiffers):
        return ()
    said = []
    for name in ("interval", "timezone", "codec"):
        old, new = noted.options.get(name), configured.options.get(name)
        if old != new and not (name == "timezone" and {old, new} <= {None, "UTC"}):
            said.append(f"{name} is {new} in the settings, and was {old} when the table was converted")
    return tuple(said) if partitioner != before else ()
