"""How long somebody has been waiting for a lock that a worker of this run holds."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Eye

# AccessShare on catalogs and on the journal; everybody may see locks. The workers of all machines stand in the journal.
# pg_blocking_pids is asked only for sessions that wait.
_WAITERS = sql.SQL("""
    WITH ours AS MATERIALIZED (
        SELECT lease_backend AS pid FROM evolve.backfill_range WHERE run_id = %(run)s AND lease_backend IS NOT NULL),
    waiting AS MATERIALIZED (
        SELECT l.pid, extract(epoch FROM clock_timestamp() - l.waitstart)::float8 AS seconds FROM pg_locks l
         WHERE NOT l.granted AND l.waitstart IS NOT NULL AND l.pid NOT IN (SELECT pid FROM ours))
    SELECT w.pid, w.seconds, coalesce(a.application_name, '')
      FROM waiting w LEFT JOIN pg_stat_activity a ON a.pid = w.pid
     WHERE pg_blocking_pids(w.pid) && ARRAY(SELECT pid FROM ours)
     ORDER BY 2 DESC LIMIT 1
""")


@dataclass(slots=True)
class Waiters:
    eye: Eye
    run_id: int
    name: str = "waiters"
    unit: Unit = Unit.SECONDS

    def read(self) -> Reading:
        for pid, seconds, application in self.eye.rows(_WAITERS, {"run": self.run_id}):
            return Reading(float(str(seconds)), f'of pid {pid} ("{application}") for a lock of this run')
        return Reading(0.0)
