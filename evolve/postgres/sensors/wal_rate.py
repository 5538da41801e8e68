"""How many bytes of WAL all of the server writes in a second."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.errors import EvolveError
from evolve.postgres.sensors.eye import Blind, Eye

# No lock.
_POSITION = sql.SQL(
    "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8, extract(epoch FROM clock_timestamp())::float8"
)


def position(eye: Eye) -> int | None:
    """Bytes of WAL since the server was made; None where it does not answer."""
    try:
        return int(float(str(eye.row(_POSITION)[0])))
    except (psycopg.Error, EvolveError, OSError, Blind):
        return None


@dataclass(slots=True)
class WalRate:
    eye: Eye
    name: str = "WAL rate"
    unit: Unit = Unit.RATE
    _last: tuple[float, float] | None = None

    def read(self) -> Reading:
        end, now = (float(str(part)) for part in self.eye.row(_POSITION))
        last, self._last = self._last, (end, now)
        if last is None or now <= last[1]:
            return Reading(0.0)
        return Reading((end - last[0]) / (now - last[1]))
