"""Let go of the partitions that are past their retention: detach them, wait, and drop what carries our mark."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from evolve.app.convert_table import BadOptions, Patience, partitioner_for
from evolve.app.premake_partitions import (
    NothingPartitioned,
    check_scheme,
    configured_table,
    known_tables,
    profile_of,
    scheme_of,
)
from evolve.config import PartitionedTable
from evolve.errors import EvolveError, Refused
from evolve.partition.maintain import Partitioned
from evolve.partition.retention import Detached, Retention, read_retention
from evolve.partition.upkeep import Kept, Let, Retained
from evolve.plugin_api import DefaultBound, Problems
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversions import ConversionExists, find_conversion
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partitions import read_partitioned
from evolve.postgres.pooler import refuse_pooled
from evolve.postgres.retiring import (
    Attached,
    CannotRetire,
    NotOurs,
    RetireBlocked,
    announce,
    detach,
    drop_detached,
    finalize,
    note_detached,
    read_all_detached,
    read_attached,
    referring_table,
    server_now,
    try_retain_lock,
)
from evolve.postgres.writable import refuse_read_only
from evolve.sql.names import QualifiedName

T = TypeVar("T")

LOCK_TIMEOUT = 500  # milliseconds
CLOCKS_APART = timedelta(minutes=10)

Archived = Callable[[Connection, QualifiedName], bool]
"""Whether there is a whole archive of a table that left its parent, found equal to it."""


class ClocksApart(Refused):
    def __init__(self, here: datetime, there: datetime) -> None:
        super().__init__(
            f"the clock here says {here:%Y-%m-%d %H:%M:%S %Z}, that of the server {there:%Y-%m-%d %H:%M:%S %Z}",
            why="one of them is wrong, and by it partitions would be dropped before their time",
            fix="set the clocks right, then run it again",
        )


class DefaultInTheWay(Refused):
    def __init__(self, table: QualifiedName, default: str) -> None:
        super().__init__(
            f'no partition of "{table.plain}" can be detached beside the traffic: "{default}" is a default partition',
            why="DETACH CONCURRENTLY is refused where there is one, and any other detach stops readers and writers",
            fix=f"empty it, then drop it: evolve partition drain {table.plain}",
        )


class StillHeld(Refused):
    def __init__(self, partition: str, verb: str, seconds: float, *, pending: bool) -> None:
        super().__init__(
            f'"{partition}" could not be {verb} within {seconds:.0f} s',
            why="a transaction that is older than that goes on, or holds a lock"
            + ("; its detach is begun, and ends with the next run" if pending else ""),
            fix="run it again in a quieter hour; what is done stays done",
        )


class RetainAtWork(Refused):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'another run lets go of partitions of "{table.plain}" right now',
            fix="nothing: it does the same; or run this one again later",
        )


@dataclass(frozen=True, slots=True)
class Environment:
    """Time and chance, so that tests need neither.

    Args:
        server_clock: what the server's clock says.
    """

    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    server_clock: Callable[[Connection], datetime] = server_now


def nothing_archived(_connection: Connection, _table: QualifiedName) -> bool:
    return False


def retain(
    url: str,
    tables: Mapping[str, PartitionedTable],
    only: QualifiedName | None,
    now: datetime,
    *,
    archived: Archived = nothing_archived,
    dry_run: bool = False,
    patience: Patience | None = None,
    environment: Environment | None = None,
    observe: Callable[[str], None] = lambda _: None,
) -> tuple[Retained, ...]:
    """Detach what is past the retention of every known table (or of `only` one), drop what was detached long enough.

    Each step commits by itself and a run that was killed is simply run again: a detach that was interrupted is ended,
    and the grace counts from the moment a run saw the partition detached. A table that fails keeps no other waiting.

    Args:
        archived: asked before a drop where the policy wants an archive; no answer but True lets a table be dropped.

    Raises:
        ClocksApart: nothing was done.
        NothingPartitioned: there is no table to look at.
        NoScheme, NotPartitioned, SchemeDiffers, BadOptions, ConversionExists, DefaultInTheWay, StillHeld, RetainAtWork:
            of the one table; where there are several, each is the `error` of its table.
    """
    here = environment or Environment()
    with connect(url, application_name="evolve partition retain", autocommit=True) as connection:
        if not dry_run:
            refuse_read_only(connection)
        there = here.server_clock(connection)
        if abs(there - now) > CLOCKS_APART:
            raise ClocksApart(now, there)
        targets = [only] if only is not None else known_tables(connection, tables)
    if not targets:
        raise NothingPartitioned
    found = []
    for table in targets:
        work = _Work(
            url, tables, table, now, archived, dry_run, patience or Patience(budget=120.0), here, observe
        )
        try:
            found.append(work.retain())
        except EvolveError as error:
            if len(targets) == 1 and not work.done:
                raise
            found.append(Retained(table, tuple(work.done), tuple(work.kept), dry_run, error))
    return tuple(found)


def retention_of(tables: Mapping[str, PartitionedTable], table: QualifiedName) -> Retention:
    """What the settings say of what follows the detach.

    Raises:
        BadOptions: it makes no sense.
    """
    configured = configured_table(tables, table)
    read = Retention() if configured is None else read_retention(configured.options)
    if isinstance(read, Problems):
        raise BadOptions(table, configured.method if configured else "range", read.found)
    return read


@dataclass(frozen=True, slots=True)
class _Work:
    url: str
    tables: Mapping[str, PartitionedTable]
    table: QualifiedName
    now: datetime
    archived: Archived
    dry_run: bool
    patience: Patience
    environment: Environment
    observe: Callable[[str], None]
    done: list[Let] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    def retain(self) -> Retained:
        policy = retention_of(self.tables, self.table)
        with connect(self.url, application_name="evolve partition retain", autocommit=True) as connection:
            if not self.dry_run:
                refuse_pooled(connection, self.url)
                self._lock(connection)
            running = find_conversion(connection, self.table)
            if running is not None:
                raise ConversionExists(self.table, running.state, running.conversion.command)
            inventory = read_inventory(connection, self.table)
            method, options = scheme_of(connection, self.tables, self.table)
            partitioner = partitioner_for(self.table, method, options, inventory.for_plugins())
            partitioned = read_partitioned(connection, self.table)
            check_scheme(partitioned, partitioner)
            attached = read_attached(connection, self.table)
            expired = partitioner.past(partitioned.partitions, self.now, profile_of(connection, partitioned))
            # What is stuck in a detach holds up no drop.
            self._note_unnoted(connection)
            self._drop_old(connection, policy)
            self._end_pending(connection, attached)
            reasons = {each.partition.name: each.reason for each in expired}
            self._detach(connection, partitioned, attached, reasons)
        return Retained(self.table, tuple(self.done), tuple(self.kept), self.dry_run)

    def _lock(self, connection: Connection) -> None:
        tries, waited = 0, 0.0
        while not try_retain_lock(connection, self.table):
            tries += 1
            delay = self.patience.delay(tries, self.environment.chance())
            if waited + delay > self.patience.budget:
                raise RetainAtWork(self.table)
            self.environment.sleep(delay)
            waited += delay

    def _end_pending(self, connection: Connection, attached: dict[str, Attached]) -> None:
        for partition in list(attached.values()):
            if not partition.pending:
                continue
            if not partition.ours:
                self.kept.append(
                    Kept(
                        partition.name,
                        "somebody else began to detach it: ALTER TABLE … DETACH PARTITION … FINALIZE",
                        waits=False,
                    )
                )
                continue
            del attached[partition.name]
            if not self.dry_run:
                end = partial(finalize, connection, self.table, partition.name, LOCK_TIMEOUT)
                self._retried(connection, partition.name, "detached", end)
                self._note(connection, partition.name, partition.bound)
            self.done.append(Let(partition.name, "finalized", "its detach was interrupted"))

    def _note_unnoted(self, connection: Connection) -> None:
        """Of runs that were killed right after a detach: their grace begins now."""
        for each in read_all_detached(connection, self.table):
            if each.moment is None and not self.dry_run:
                self._note(connection, each.name, each.bound)

    def _note(self, connection: Connection, name: str, bound: str) -> None:
        note = partial(note_detached, connection, self.table, name, bound, self.now, LOCK_TIMEOUT)
        self._retried(connection, name, "marked", note)

    def _drop_old(self, connection: Connection, policy: Retention) -> None:
        for each in read_all_detached(connection, self.table):
            reason = self._stays(connection, each, policy)
            if reason:
                self.kept.append(Kept(each.name, reason, waits=True))
                continue
            try:
                if not self.dry_run:
                    drop = partial(drop_detached, connection, self.table, each, LOCK_TIMEOUT)
                    self._retried(connection, each.name, "dropped", drop)
            except (CannotRetire, NotOurs, StillHeld) as error:
                if connection.closed:
                    raise
                self.kept.append(Kept(each.name, error.what, waits=False))
                continue
            self.done.append(Let(each.name, "dropped", f"detached since {each.moment:%Y-%m-%d %H:%M}"))

    def _stays(self, connection: Connection, each: Detached, policy: Retention) -> str:
        """Why a table that was detached is not dropped now; "" where it is."""
        if policy.then == "keep":
            return "detached, and kept for good"
        if each.moment is None:
            return "detached just now"
        until = each.moment + policy.grace
        if until > self.now:
            return f"detached since {each.moment:%Y-%m-%d %H:%M}, stays until {until:%Y-%m-%d %H:%M}"
        leaf = QualifiedName(each.name, self.table.schema)
        try:
            waits = policy.archive is not None and not self.archived(connection, leaf)
        except Refused as error:
            return error.what
        return f"it waits for its archive: evolve partition archive {self.table.plain}" if waits else ""

    def _detach(
        self,
        connection: Connection,
        partitioned: Partitioned,
        attached: dict[str, Attached],
        reasons: Mapping[str, str],
    ) -> None:
        candidates = [attached[name] for name in reasons if name in attached]
        default = next((p.name for p in partitioned.partitions if isinstance(p.bound, DefaultBound)), None)
        if default is not None and any(each.ours for each in candidates):
            raise DefaultInTheWay(self.table, default)
        for partition in candidates:
            if not partition.ours:
                self.kept.append(
                    Kept(
                        partition.name,
                        f"past the retention, but not made by evolve: evolve partition adopt {self.table.plain}",
                        waits=False,
                    )
                )
                continue
            look = partial(referring_table, connection, self.table, partition.name, LOCK_TIMEOUT)
            leave = _Detaching(connection, self.table, partition)
            try:
                source = self._retried(connection, partition.name, "looked at", look)
                if source is not None:
                    self.kept.append(Kept(partition.name, f"rows of {source} still refer to it", waits=False))
                    continue
                if not self.dry_run:
                    self._retried(connection, partition.name, "detached", leave)
                    self._note(connection, partition.name, partition.bound)
            except CannotRetire as error:
                if connection.closed:
                    raise
                self.kept.append(Kept(partition.name, error.what, waits=False))
                continue
            self.done.append(Let(partition.name, "detached", reasons[partition.name]))

    def _retried(self, connection: Connection, name: str, verb: str, attempt: Callable[[], T]) -> T:
        tries, waited = 0, 0.0
        while True:
            tries += 1
            try:
                return attempt()
            except RetireBlocked as error:
                delay = self.patience.delay(tries, self.environment.chance())
                if waited + delay > self.patience.budget:
                    now_attached = read_attached(connection, self.table).get(name)
                    pending = now_attached is not None and now_attached.pending
                    raise StillHeld(name, verb, waited, pending=pending) from error
                self.observe(f"{name}: no lock yet; again in {delay:.1f} s")
                self.environment.sleep(delay)
                waited += delay


@dataclass(frozen=True, slots=True)
class _Detaching:
    """One attempt: from where the one before was interrupted."""

    connection: Connection
    table: QualifiedName
    partition: Attached

    def __call__(self) -> None:
        found = read_attached(self.connection, self.table).get(self.partition.name)
        if found is None:
            return
        if found.pending:
            finalize(self.connection, self.table, found.name, LOCK_TIMEOUT)
            return
        announce(self.connection, self.table, found, LOCK_TIMEOUT)
        detach(self.connection, self.table, found.name, LOCK_TIMEOUT)
