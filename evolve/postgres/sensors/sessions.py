"""How many sessions of others are at work."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.old_snapshot import refuse_hidden

# AccessShare on catalogs and on the journal.
_ACTIVE = sql.SQL("""
    SELECT count(*) FROM pg_stat_activity
     WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
       AND pid NOT IN (SELECT lease_backend FROM evolve.backfill_range
                        WHERE run_id = %(run)s AND lease_backend IS NOT NULL)
""")


@dataclass(slots=True)
class Sessions:
    eye: Eye
    run_id: int
    name: str = "sessions"
    unit: Unit = Unit.NUMBER

    def read(self) -> Reading:
        refuse_hidden(self.eye)
        return Reading(float(str(self.eye.row(_ACTIVE, {"run": self.run_id})[0])), "active")
