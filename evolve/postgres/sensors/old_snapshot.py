"""How old the oldest snapshot is that keeps dead rows from being taken away."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Blind, Eye
from evolve.redaction import shown

# AccessShare on catalogs only. VACUUM's own snapshot keeps nobody from anything. Sessions of others are hidden from
# roles without pg_read_all_stats.
_OLDEST = sql.SQL("""
    SELECT pid, who, seconds FROM (
        SELECT a.pid, coalesce(a.usename, '') || ', "' || coalesce(a.application_name, '') || '", '
                      || coalesce(a.state, '') AS who,
               extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
          FROM pg_stat_activity a
         WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
           AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
           AND a.pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
        UNION ALL
        SELECT 0, 'prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared)::float8
          FROM pg_prepared_xacts WHERE database = current_database()) AS s
     ORDER BY seconds DESC LIMIT 1
""")
_HIDDEN = sql.SQL(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND query = '<insufficient privilege>' AND usesysid IS NOT NULL"
)


def refuse_hidden(eye: Eye) -> None:
    """
    Raises:
        Blind: there are sessions of which this role may see nothing.
    """
    if eye.row(_HIDDEN)[0]:
        raise Blind("sessions of others cannot be seen by this role (GRANT pg_read_all_stats)")


@dataclass(slots=True)
class OldestSnapshot:
    eye: Eye
    name: str = "old snapshot"
    unit: Unit = Unit.SECONDS

    def read(self) -> Reading:
        refuse_hidden(self.eye)
        for pid, who, seconds in self.eye.rows(_OLDEST):
            holder = shown(str(who)) if pid == 0 else f"pid {pid} ({shown(str(who))})"
            return Reading(max(float(str(seconds)), 0.0), f"of {holder}")  # a clock may be set back
        return Reading(0.0)
