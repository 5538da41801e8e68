"""Run a statement, take it back, and say which locks it took and what it rewrote, rebuilt and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from evolve.postgres.connect import Connection
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class Measured:
    """What a statement did to relations that were there before it.

    Args:
        locks: the strongest lock on each table, view, index and sequence; ACCESS SHARE is left out.
        rewritten: tables and materialized views that got a new file.
        rebuilt: indexes that got a new file.
        scanned: tables that were read from end to end.
        error: what the server said where it refused the statement; all else is empty then.
    """

    locks: Mapping[QualifiedName, LockMode]
    rewritten: frozenset[QualifiedName] = frozenset()
    rebuilt: frozenset[QualifiedName] = frozenset()
    scanned: frozenset[QualifiedName] = frozenset()
    error: str | None = None


def measure(connection: Connection, sql: str) -> Measured:
    """Run `sql` (one statement or several) in a transaction of its own and roll it back.

    `connection` must be outside a transaction. A statement that refuses to run inside one, such as CREATE
    INDEX CONCURRENTLY, comes back with its error.
    """
    with connection.transaction(force_rollback=True):
        before = Snapshot.take(connection)
        try:
            with connection.transaction():
                connection.execute(sql.encode())
                after = Snapshot.take(connection)
                locks = held_locks(connection, before.names)
        except psycopg.Error as error:
            return Measured({}, error=error.diag.message_primary or str(error))
    return compare(before, after, locks)


def compare(before: Snapshot, after: Snapshot, locks: Mapping[QualifiedName, LockMode]) -> Measured:
    """What happened between two moments to relations that were there at the first."""
    moved = [oid for oid in after.names if after.files[oid] not in (0, before.file_of(oid, after.names[oid]))]
    known = set(before.names.values())
    return Measured(
        locks=locks,
        rewritten=frozenset(
            before.names[oid] for oid in moved if oid in before.names and before.kinds[oid] in ("r", "m")
        ),
        # ALTER TYPE drops an index and makes it anew under its old name.
        rebuilt=frozenset(
            after.names[oid] for oid in moved if after.kinds[oid] == "i" and after.names[oid] in known
        ),
        scanned=frozenset(
            name
            for oid, name in before.names.items()
            if before.kinds[oid] in ("r", "m") and after.scans.get(oid, 0) > before.scans[oid]
        ),
    )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All by the relation's oid, which outlives renames."""

    names: Mapping[int, QualifiedName]
    kinds: Mapping[int, str]
    files: Mapping[int, int]
    scans: Mapping[int, int]

    def file_of(self, oid: int, name: QualifiedName) -> int:
        """The file of that relation, or of the one that had its name; 0 where there was none."""
        if oid in self.files:
            return self.files[oid]
        return next((self.files[other] for other, known in self.names.items() if known == name), 0)

    @classmethod
    def take(cls, connection: Connection) -> Snapshot:
        # Takes no lock that blocks: reads the catalog and this session's own counters.
        rows = connection.execute(
            """
            SELECT c.oid::bigint, c.relname, n.nspname, c.relkind::text, pg_relation_filenode(c.oid)::bigint,
                   coalesce(pg_stat_get_xact_numscans(c.oid), 0)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
               AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
               AND c.relkind IN ('r', 'p', 'i', 'I', 'm', 'v', 'S', 'f')
            """
        ).fetchall()
        names, kinds, files, scans = {}, {}, {}, {}
        for oid, name, schema, kind, file, scanned in rows:
            if not isinstance(oid, int):
                continue
            names[oid] = QualifiedName(str(name), str(schema))
            kinds[oid] = str(kind)
            files[oid] = file if isinstance(file, int) else 0
            scans[oid] = scanned if isinstance(scanned, int) else 0
        return cls(names, kinds, files, scans)


def held_locks(connection: Connection, names: Mapping[int, QualifiedName]) -> dict[QualifiedName, LockMode]:
    """The strongest lock that this session holds on each relation of `names`, ACCESS SHARE left out."""
    # Takes no lock that blocks: reads the lock table.
    rows = connection.execute(
        """
        SELECT relation::bigint, mode FROM pg_locks
         WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted
        """
    ).fetchall()
    strongest: dict[QualifiedName, LockMode] = {}
    for oid, mode in rows:
        name = names.get(oid) if isinstance(oid, int) else None
        taken = LockMode.from_pg_locks(str(mode))
        if name is not None and taken is not LockMode.ACCESS_SHARE:
            strongest[name] = max(taken, strongest.get(name, taken))
    return strongest
