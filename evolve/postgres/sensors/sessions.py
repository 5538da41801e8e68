"""How many sessions of others are at work."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.old_snapshot import refuse_hidden
from evolve.postgres.sensors.waiters import workers

# AccessShare on catalogs and on the journal.
_ACTIVE = sql.SQL("""
    SELECT count(*) FROM pg_stat_activity
     WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
       AND pid NOT IN ({ours})
""")


@dataclass(slots=True)
class Sessions:
    """
    Args:
        run_id: of a backfill; None where a table is partitioned.
    """

    eye: Eye
    run_id: int | None
    name: str = "sessions"
    unit: Unit = Unit.NUMBER

    def read(self) -> Reading:
        refuse_hidden(self.eye)
        active = self.eye.row(_ACTIVE.format(ours=workers(self.run_id)), {"run": self.run_id})
        return Reading(float(str(active[0])), "active")
