"""Whether the run may work at this time of the day, by the server's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import sql

from evolve.backfill.hours import Hours, next_opening
from evolve.backfill.sensor import Degree, Reading, Unit
from evolve.postgres.sensors.eye import Eye

# No lock. Seconds, since the driver knows only one DateStyle.
_NOW = sql.SQL("SELECT extract(epoch FROM clock_timestamp())::float8")


@dataclass(slots=True)
class Window:
    eye: Eye
    windows: tuple[Hours, ...]
    name: str = "window"
    unit: Unit = Unit.NUMBER
    _opens: datetime | None = None

    def read(self) -> Reading:
        now = datetime.fromtimestamp(float(str(self.eye.row(_NOW)[0])), UTC)
        if any(window.open(now) for window in self.windows):
            return Reading(None, "", Degree.FREE)
        if self._opens is None or self._opens <= now:
            self._opens = next_opening(self.windows, now)
        when = "" if self._opens is None else f", opens {self._opens:%a %H:%M %Z}"
        texts = " or ".join(window.text for window in self.windows)
        return Reading(None, f"outside of the window {texts}{when}", Degree.HARD)
