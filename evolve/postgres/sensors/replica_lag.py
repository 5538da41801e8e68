"""How many bytes of WAL the slowest standby has yet to replay."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.connect import Connection
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.replicas import missing, standbys


@dataclass(slots=True)
class ReplicaLag:
    """
    Args:
        wanted: standbys that must be there, by application_name; one that is gone holds the run.
        ignore: standbys that may be behind.
    """

    eye: Eye
    wanted: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    name: str = "replica lag"
    unit: Unit = Unit.BYTES

    def read(self) -> Reading:
        found = standbys(self.eye, self.ignore)
        gone = missing(found, self.wanted)
        if gone is not None:
            return gone
        worst = max(found, key=lambda standby: standby.lag, default=None)
        return Reading(0.0) if worst is None else Reading(worst.lag, f'on "{worst.name}"')


def lag_bytes(connection: Connection) -> int | None:
    """The same for a single look: 0 without standbys, None where it cannot be seen."""
    try:
        # AccessShare on catalogs only. replay_lsn is null for roles without pg_monitor.
        row = connection.execute(
            sql.SQL(
                "SELECT count(*) FILTER (WHERE replay_lsn IS NULL), coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(),"
                " replay_lsn)), 0)::bigint FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'"
            )
        ).fetchone()
    except psycopg.Error:
        return None
    return None if row is None or row[0] != 0 else int(str(row[1]))
