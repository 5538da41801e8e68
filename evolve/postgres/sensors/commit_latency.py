"""How many times as long a small commit takes as when the run began."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median

from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Eye

# No lock; without a transaction id of its own a commit waits for nothing.
_SOMETHING = sql.SQL("SELECT pg_current_xact_id()")
_FIRST = 5  # commits that tell what is usual
_LEAST = 0.001  # seconds: what takes less is not compared
_WEIGHT = 0.3  # of the newest


@dataclass(slots=True)
class CommitLatency:
    """Commits nothing once in a while, and takes the time, as a client of the server sees it."""

    eye: Eye
    name: str = "commit latency"
    unit: Unit = Unit.NUMBER
    _usual: list[float] = field(default_factory=list)
    _late: float = 0.0

    def read(self) -> Reading:
        with self.eye.transaction(write=True) as connection:
            connection.execute(_SOMETHING)
            began = time.perf_counter()
        seconds = time.perf_counter() - began
        if len(self._usual) < _FIRST:
            self._usual.append(seconds)
            self._late = median(self._usual)
            return Reading(1.0)
        self._late += (seconds - self._late) * _WEIGHT
        usual = max(median(self._usual), _LEAST)
        return Reading(self._late / usual, f"times the usual {usual * 1000:.1f} ms")
