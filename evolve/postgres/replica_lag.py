"""How many bytes of WAL the slowest standby has yet to replay."""

from __future__ import annotations

import psycopg

from evolve.postgres.connect import Connection


class ReplicaSensor:
    """Looks at `pg_stat_replication` on a connection of its own, so that a look never waits for a batch.

    Losing that connection counts as unknown: a backfill is not stopped by its own instrument.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lag_bytes(self) -> int | None:
        try:
            # AccessShare on catalogs only. replay_lsn is null for roles without pg_monitor.
            row = self._connection.execute(
                "SELECT count(*) FILTER (WHERE replay_lsn IS NULL), coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(),"
                " replay_lsn)), 0)::bigint FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'"
            ).fetchone()
        except psycopg.Error:
            return None
        if row is None or row[0] != 0:
            return None
        return int(str(row[1]))
