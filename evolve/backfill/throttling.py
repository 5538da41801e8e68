"""What a run is told to look at and to wait for, beside its limits on time and rows."""

from __future__ import annotations

from evolve.backfill.hours import Hours
from evolve.backfill.modes import Mode
from evolve.backfill.sensor import Limits, Sensor
from evolve.backfill.sensor_kinds import Choice, choose
from evolve.backfill.throttle import Throttle
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Watched:
    """A sensor with its limits, as a plugin brings one.

    Args:
        every: seconds between two looks.
        unknown_holds: whether the run is held while the sensor has no answer, or goes on without it.
    """

    sensor: Sensor
    limits: Limits
    every: float = 1.0
    unknown_holds: bool = True


@dataclass(frozen=True, slots=True)
class Throttling:
    """
    Args:
        sensors: to be looked at.
        windows: the run works while one of them is open; none: always.
        plugged: what plugins bring, by name.
    """

    sensors: tuple[Choice, ...] = choose(Mode.FAST, {})
    windows: tuple[Hours, ...] = ()
    plugged: tuple[tuple[str, Throttle | Watched], ...] = ()

    @property
    def replica_lag(self) -> int | None:
        """Bytes that a standby may be behind; None where nobody looks."""
        for choice in self.sensors:
            if choice.kind == "replica-lag" and choice.limits.hard is not None:
                return int(choice.limits.hard)
        return None
