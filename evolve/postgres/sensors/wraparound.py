"""How old the oldest transaction id is that nobody has frozen yet; a run takes one for each batch."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Eye

# AccessShare on catalogs only.
_AGE = sql.SQL("SELECT datname, age(datfrozenxid)::float8 FROM pg_database ORDER BY 2 DESC LIMIT 1")


@dataclass(slots=True)
class Wraparound:
    eye: Eye
    name: str = "wraparound"
    unit: Unit = Unit.NUMBER

    def read(self) -> Reading:
        database, age = self.eye.row(_AGE)
        return Reading(float(str(age)), f'transactions not frozen in database "{database}"')
