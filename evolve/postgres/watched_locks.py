"""What a session of somebody else's does on a scratch server: its locks, and which tables it gives a new file."""

from __future__ import annotations

from collections.abc import Mapping

from evolve.postgres.connect import Connection
from evolve.postgres.measure import Snapshot
from evolve.sql.locks import LockMode


def locks_of(connection: Connection, pid: int, known: Snapshot) -> dict[str, LockMode]:
    """The strongest lock that `pid` holds on each relation of `known`, ACCESS SHARE left out."""
    # No lock: reads the lock table.
    rows = connection.execute(
        "SELECT relation::bigint, mode FROM pg_locks WHERE pid = %s AND locktype = 'relation' AND granted",
        (pid,),
    ).fetchall()
    strongest: dict[str, LockMode] = {}
    for oid, mode in rows:
        name = known.names.get(oid) if isinstance(oid, int) else None
        taken = LockMode.from_pg_locks(str(mode))
        if name is not None and known.kinds[int(str(oid))] in "rpmvf" and taken is not LockMode.ACCESS_SHARE:
            strongest[name.plain] = max(taken, strongest.get(name.plain, taken))
    return strongest


def live_sizes(connection: Connection) -> Mapping[str, int]:
    """Bytes of each table with its indexes and TOAST, by plain name."""
    # ACCESS SHARE on each table for a moment.
    rows = connection.execute(
        "SELECT CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END,"
        " pg_total_relation_size(c.oid) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    ).fetchall()
    return {str(name): int(str(size)) for name, size in rows}
