"""How long somebody has been waiting for a lock that a worker of this run holds."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Eye

# AccessShare on the journal, where the workers of all machines stand, and who verifies.
_OF_RUN = sql.SQL(
    "SELECT lease_backend AS pid FROM evolve.backfill_range WHERE run_id = %(run)s AND lease_backend IS NOT NULL"
    " UNION SELECT lease_backend FROM evolve.backfill_run WHERE run_id = %(run)s AND lease_backend IS NOT NULL"
)
# AccessShare on catalogs only.
_OF_PARTITIONS = sql.SQL(
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'evolve partition worker'"
    " AND datname = current_database()"
)
# AccessShare on catalogs; everybody may see locks. pg_blocking_pids is asked only for sessions that wait.
_WAITERS = sql.SQL("""
    WITH ours AS MATERIALIZED ({ours}),
    waiting AS MATERIALIZED (
        SELECT l.pid, greatest(extract(epoch FROM clock_timestamp() - l.waitstart), 0)::float8 AS seconds
          FROM pg_locks l
         WHERE NOT l.granted AND l.waitstart IS NOT NULL AND l.pid NOT IN (SELECT pid FROM ours))
    SELECT w.pid, w.seconds, coalesce(a.application_name, '')
      FROM waiting w LEFT JOIN pg_stat_activity a ON a.pid = w.pid
     WHERE pg_blocking_pids(w.pid) && ARRAY(SELECT pid FROM ours)
     ORDER BY 2 DESC LIMIT 1
""")


def workers(run_id: int | None) -> sql.SQL:
    """The sessions at work, as a query of `pid` with the parameter `run`; None: those that partition a table."""
    return _OF_PARTITIONS if run_id is None else _OF_RUN


@dataclass(slots=True)
class Waiters:
    """
    Args:
        run_id: of a backfill; None where a table is partitioned.
    """

    eye: Eye
    run_id: int | None
    name: str = "waiters"
    unit: Unit = Unit.SECONDS

    def read(self) -> Reading:
        for pid, seconds, application in self.eye.rows(
            _WAITERS.format(ours=workers(self.run_id)), {"run": self.run_id}
        ):
            return Reading(float(str(seconds)), f'of pid {pid} ("{application}") for a lock of this run')
        return Reading(0.0)
