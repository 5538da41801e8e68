"""Make the partitions that are missing: those that will be needed soon, and those of gaps."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from evolve.app.convert_table import Patience, partitioner_for, sub_partitioner
from evolve.config import PartitionedTable
from evolve.errors import EvolveError, Misuse, Refused
from evolve.partition.below import check
from evolve.partition.inventory import Inventory
from evolve.partition.maintain import Partitioned, create
from evolve.partition.retention import for_partitioner
from evolve.plugin_api import (
    DefaultBound,
    Due,
    ListBound,
    Options,
    Partition,
    Partitioner,
    Profile,
    check_sql,
    sorted_ranges,
)
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversions import find_conversion, last_scheme, tables_with_scheme
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partitions import (
    AttachBlocked,
    RowsInDefault,
    create_partition,
    highest_key,
    holds_rows_where,
    premake_lock,
    read_partitioned,
    read_template,
)
from evolve.postgres.pooler import refuse_pooled
from evolve.postgres.writable import refuse_read_only
from evolve.sql.names import QualifiedName, parse_name

CORE_OPTIONS = ("recipe", "unique", "sub", "alert_below")
"""What a `[tool.evolve.partition.<table>]` says to evolve itself rather than to the partitioner."""


class NoScheme(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'how "{table.plain}" is partitioned is not known here',
            why="it was not converted by evolve, and the settings do not say it",
            fix=f'write [tool.evolve.partition."{table.plain}"] with method, key and interval',
        )


class NothingPartitioned(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "no partitioned table is known here",
            fix="name one, or write a [tool.evolve.partition.<table>] into the settings",
        )


class SchemeDiffers(Refused):
    def __init__(self, table: QualifiedName, wanted: str, found: str) -> None:
        super().__init__(
            f'"{table.plain}" is to be partitioned by {wanted}, but is partitioned by {found}',
            why="partitions made after the one would not fit the other",
            fix=f"correct the settings, or convert the table: evolve partition convert {table.shell}",
        )


class StillBlocked(Refused):
    def __init__(self, table: QualifiedName, partition: str, seconds: float) -> None:
        super().__init__(
            f'the partition "{partition}" of "{table.plain}" could not be attached within {seconds:.0f} s',
            why="a lock that ATTACH PARTITION needs was held all that time, on the table or on one it refers to",
            fix="run it again in a quieter hour; what is attached stays attached",
        )


@dataclass(frozen=True, slots=True)
class Premade:
    """Args:
    made: partitions that are there now and were not before; those that would be made, in a dry run.
    error: what stopped the work on this table, or RowsInDefault; what was made before stays.
    """

    table: QualifiedName
    made: tuple[Partition, ...]
    due: Due
    dry_run: bool
    error: EvolveError | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


def premake(
    url: str,
    tables: Mapping[str, PartitionedTable],
    only: QualifiedName | None,
    now: datetime,
    *,
    dry_run: bool = False,
    patience: Patience | None = None,
    environment: Environment | None = None,
    observe: Callable[[str], None] = lambda _: None,
) -> tuple[Premade, ...]:
    """Bring every known table (or `only` one) up to what its scheme wants now.

    Two short transactions for each partition; a run that was killed is simply run again. Runs on several machines at
    once wait for one another, table by table, and the later one finds nothing to do. A table that fails keeps no other
    from getting its partitions.

    Args:
        tables: of the settings.
        observe: told of waits.

    Raises:
        NothingPartitioned: there is no table to look at.
        NoScheme, NotPartitioned, SchemeDiffers, BadOptions, NoSuchMethod, BadSub, SubKeyMissing, NameTaken,
            CannotCreate, StillBlocked: of the one table; where there are several, each is the `error` of its table.
    """
    with connect(url, application_name="evolve partition premake", autocommit=True) as connection:
        if not dry_run:
            refuse_read_only(connection)
        targets = [only] if only is not None else known_tables(connection, tables)
        if not targets:
            raise NothingPartitioned
        work = _Work(
            url,
            tables,
            now,
            dry_run,
            patience or Patience(budget=120.0),
            environment or Environment(),
            observe,
        )
        if len(targets) == 1:
            return (work.premake(targets[0], *scheme_of(connection, tables, targets[0])),)
        done = []
        for table in targets:
            try:
                done.append(work.premake(table, *scheme_of(connection, tables, table)))
            except EvolveError as error:
                done.append(Premade(table, (), Due(), dry_run, error))
        return tuple(done)


def known_tables(connection: Connection, tables: Mapping[str, PartitionedTable]) -> list[QualifiedName]:
    """Those of the settings, then those that a conversion partitioned."""
    named = [parse_name(name) for name in tables]
    return named + [table for table in tables_with_scheme(connection) if table not in named]


def scheme_of(
    connection: Connection, tables: Mapping[str, PartitionedTable], table: QualifiedName
) -> tuple[str, Options]:
    """Method and options: of the settings, else of the conversion that made the table what it is.

    Raises:
        NoScheme: neither says it.
    """
    configured = configured_table(tables, table)
    if configured is not None:
        return configured.method, without_core(configured.options)
    scheme = last_scheme(connection, table)
    if scheme is None:
        raise NoScheme(table)
    return scheme.method, without_core(scheme.options)


def configured_table(tables: Mapping[str, PartitionedTable], table: QualifiedName) -> PartitionedTable | None:
    return next((found for name, found in tables.items() if parse_name(name) == table), None)


def without_core(options: Options) -> Options:
    return for_partitioner({name: value for name, value in options.items() if name not in CORE_OPTIONS})


def sub_of(tables: Mapping[str, PartitionedTable], table: QualifiedName) -> object:
    """How the settings say that each partition is cut once more; None where they do not."""
    configured = configured_table(tables, table)
    return None if configured is None else configured.options.get("sub")


def due_now(connection: Connection, partitioned: Partitioned, partitioner: Partitioner, now: datetime) -> Due:
    """What is missing and what crosses. A gap is not filled with what would be past its retention at once."""
    profile = profile_of(connection, partitioned)
    due = partitioner.due(partitioned.table.name, partitioned.partitions, now, profile)
    gone = {expired.partition.name for expired in partitioner.past(due.create, now, profile)}
    return replace(due, create=tuple(partition for partition in due.create if partition.name not in gone))


def profile_of(connection: Connection, partitioned: Partitioned) -> Profile:
    """What upkeep has to know of the rows: where the partitions begin, and the greatest integer key."""
    ranges = [bound for _, bound in sorted_ranges(partitioned.partitions)]
    edges = [edge for bound in ranges for edge in (bound.lower, bound.upper) if edge is not None]
    listed = [
        value
        for partition in partitioned.partitions
        if isinstance(partition.bound, ListBound)
        for value in partition.bound.values
        if isinstance(value, int)
    ]
    low = edges[0] if edges else min(listed, default=None)
    return Profile(low=low, high=highest_key(connection, partitioned))


@dataclass(frozen=True, slots=True)
class _Work:
    url: str
    tables: Mapping[str, PartitionedTable]
    now: datetime
    dry_run: bool
    patience: Patience
    environment: Environment
    observe: Callable[[str], None]

    def premake(self, table: QualifiedName, method: str, options: Options) -> Premade:
        with connect(self.url, application_name="evolve partition premake", autocommit=True) as connection:
            inventory = read_inventory(connection, table)
            partitioner = partitioner_for(table, method, options, inventory.for_plugins())
            sub = sub_partitioner(table, sub_of(self.tables, table), inventory.for_plugins())
            if sub is not None:
                check(sub, table, _uniques(inventory))
            check_scheme(read_partitioned(connection, table), partitioner)
            if not self.dry_run:
                refuse_pooled(connection, self.url)
                premake_lock(connection, table)
            # Looked at again only now: a run that waited finds nothing left to do.
            partitioned = read_partitioned(connection, table)
            due = due_now(connection, partitioned, partitioner, self.now)
            coming = _coming(connection, table)
            due = replace(due, create=tuple(p for p in due.create if p.name not in coming))
            default = next(
                (p.name for p in partitioned.partitions if isinstance(p.bound, DefaultBound)), None
            )
            astray = _astray(connection, table, partitioner, default, due.create)
            missing = tuple(partition for partition in due.create if partition.name not in astray)
            if not self.dry_run and missing:
                template = read_template(connection, table)
                for partition in missing:
                    make, attach = create(table, partitioner, partition, template, sub)
                    self._retried(
                        table,
                        partition.name,
                        lambda p=partition, m=make, a=attach: create_partition(
                            connection, table, p.name, m, a
                        ),  # type: ignore[misc]
                    )
            error = RowsInDefault(table, default, astray) if default is not None and astray else None
            return Premade(table, missing, due, self.dry_run, error)

    def _retried(self, table: QualifiedName, name: str, attempt: Callable[[], None]) -> None:
        tries, waited = 0, 0.0
        while True:
            tries += 1
            try:
                attempt()
            except AttachBlocked as error:
                delay = self.patience.delay(tries, self.environment.chance())
                if waited + delay > self.patience.budget:
                    raise StillBlocked(table, name, waited) from error
                self.observe(f"{name}: no lock yet; again in {delay:.1f} s")
                self.environment.sleep(delay)
                waited += delay
            else:
                return


def _uniques(inventory: Inventory) -> list[tuple[str, tuple[str, ...]]]:
    found = [(key.name, key.columns) for key in inventory.keys]
    return found + [(index.name, index.columns or ()) for index in inventory.indexes if index.unique]


def _astray(
    connection: Connection,
    table: QualifiedName,
    partitioner: Partitioner,
    default: str | None,
    missing: Sequence[Partition],
) -> list[str]:
    """Those of `missing` that the default partition holds rows of."""
    if default is None:
        return []
    leaf = QualifiedName(default, table.schema)
    conditions = ((each.name, check_sql(each.bound, partitioner.key, table)) for each in missing)
    return [
        name for name, condition in conditions if condition and holds_rows_where(connection, leaf, condition)
    ]


def _coming(connection: Connection, table: QualifiedName) -> set[str]:
    """Partitions that a move under way has made already and will attach."""
    record = find_conversion(connection, table)
    if record is None or record.conversion.replaced is None:
        return set()
    return {partition.name for partition in record.conversion.partitions}


def check_scheme(partitioned: Partitioned, partitioner: Partitioner) -> None:
    """
    Raises:
        SchemeDiffers: the table is partitioned in another way.
    """
    if (partitioned.method, partitioned.key) != (partitioner.method, partitioner.key):
        wanted = f"{partitioner.method} ({', '.join(partitioner.key)})"
        found = f"{partitioned.method} ({', '.join(partitioned.key)})"
        raise SchemeDiffers(partitioned.table, wanted, found)
