"""A sensor that nobody asked for: where it cannot see, the run goes on without it, and that is told once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evolve.backfill.sensor import Degree, Reading, Sensor, Unit
from evolve.postgres.sensors.eye import Blind


@dataclass(slots=True)
class Unasked:
    """
    Args:
        title: as the settings call it.
    """

    sensor: Sensor
    title: str
    say: Callable[[str], object]
    _told: bool = False

    @property
    def name(self) -> str:
        return self.sensor.name

    @property
    def unit(self) -> Unit:
        return self.sensor.unit

    def read(self) -> Reading:
        try:
            return self.sensor.read()
        except Blind as blind:
            if not self._told:
                self.say(f"{blind}: going on without the sensor {self.title}")
                self._told = True
            return Reading(None, "", Degree.FREE)
