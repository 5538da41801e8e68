"""Which part of a run's workers is of this process: what limits the whole run is shared out by that."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from evolve.errors import EvolveError
from evolve.postgres.sensors.eye import Blind, Eye

# AccessShare on the journal. A worker between two ranges holds none, and counts when it has the next.
_WORKERS = sql.SQL("""
    SELECT count(*) FILTER (WHERE lease_owner = ANY(%(owners)s))::int, count(*)::int FROM evolve.backfill_range
     WHERE run_id = %(run)s AND lease_owner IS NOT NULL AND lease_until > clock_timestamp()
       AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = lease_backend)
""")


@dataclass(slots=True)
class Sharing:
    """
    Args:
        owners: of the workers of this process; may grow meanwhile.
        part: above 0 up to 1, as last looked at.
    """

    eye: Eye
    run_id: int
    owners: list[str] = field(default_factory=list)
    part: float = 1.0

    def look(self) -> None:
        """Count anew; where the server does not answer the part stays as it is."""
        try:
            row = self.eye.row(_WORKERS, {"run": self.run_id, "owners": list(self.owners)})
        except (psycopg.Error, EvolveError, OSError, Blind):
            return
        own, all_ = (int(str(count)) for count in row)
        # One that has no range yet may have one before the next look.
        self.part = own / all_ if own else 1 / (all_ + 1)
