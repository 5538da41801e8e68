"""A statement of one's own: a number to set limits on, or a boolean that holds while it is true."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from evolve.backfill.sensor import Degree, Limits, Reading, Unit
from evolve.postgres.sensors.eye import Eye


@dataclass(slots=True)
class OwnSql:
    """
    Args:
        statement: returns one row; its first column counts. It is read only, and has a second.
    """

    eye: Eye
    name: str
    unit: Unit
    limits: Limits
    statement: str

    def read(self) -> Reading:
        with self.eye.transaction() as connection:
            # What it locks is its author's. With parameters, if only none, it can be no more than one statement.
            rows = connection.execute(self.statement.replace("%", "%%").encode(), []).fetchmany(2)
        if len(rows) != 1:
            return Reading(
                None, "its statement returned no row" if not rows else "its statement returned several rows"
            )
        return answer(self.name, rows[0][0], self.limits)


def answer(name: str, value: object, limits: Limits) -> Reading:
    """What somebody's own sensor has answered: true holds, false does not, a number is held against its limits."""
    if isinstance(value, bool):
        return Reading(None, f"{name} says hold", Degree.HARD if value else Degree.FREE)
    if not isinstance(value, int | float | Decimal):
        return Reading(None, f"it answered {str(value)[:40]!r}, which is neither a number nor a boolean")
    if limits.soft is None and limits.hard is None and limits.critical is None:
        return Reading(None, f"it answered the number {value:g}, and no limit is set")
    return Reading(float(value))
