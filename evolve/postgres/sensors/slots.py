"""How much WAL the server keeps for replication slots."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Degree, Reading, Unit
from evolve.postgres.sensors.eye import Eye

# AccessShare on catalogs only; everybody may see slots. One that has lost its WAL keeps none.
_SLOTS = sql.SQL("""
    SELECT slot_name, active, wal_status = 'unreserved',
           greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::float8
      FROM pg_replication_slots WHERE wal_status IS DISTINCT FROM 'lost'
     ORDER BY 3 DESC NULLS LAST, 4 DESC
""")


@dataclass(slots=True)
class Slots:
    eye: Eye
    ignore: tuple[str, ...] = ()
    name: str = "slots"
    unit: Unit = Unit.BYTES

    def read(self) -> Reading:
        for slot, active, unreserved, kept in self.eye.rows(_SLOTS):
            if str(slot) in self.ignore:
                continue
            where = f'kept for slot "{slot}"' + ("" if active else ", which nobody reads")
            if unreserved:
                # Beyond max_slot_wal_keep_size: with the next checkpoint the slot is lost.
                return Reading(float(str(kept)), f"{where} and which is about to lose its WAL", Degree.HARD)
            return Reading(float(str(kept)), where)
        return Reading(0.0)
