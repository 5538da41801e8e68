"""Sensors of this machine: a Python function, and a file that holds the run while it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evolve.backfill.sensor import Degree, Limits, Reading, Unit
from evolve.postgres.sensors.own_sql import answer


@dataclass(slots=True)
class Function:
    """It returns a number, or True to hold."""

    name: str
    unit: Unit
    limits: Limits
    call: Callable[[], object]

    def read(self) -> Reading:
        value = self.call()
        return value if isinstance(value, Reading) else answer(self.name, value, self.limits)


@dataclass(slots=True)
class FlagFile:
    name: str
    path: Path
    unit: Unit = Unit.NUMBER

    def read(self) -> Reading:
        try:
            self.path.stat()
        except FileNotFoundError:
            return Reading(None, "", Degree.FREE)
        return Reading(None, f"{self.name}: the file {self.path} is there", Degree.HARD)
