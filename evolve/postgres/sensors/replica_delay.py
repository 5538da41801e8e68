"""How many seconds the slowest standby is behind."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.replicas import missing, standbys


@dataclass(slots=True)
class ReplicaDelay:
    """
    Args:
        wanted: standbys that must be there, by application_name; one that is gone holds the run.
        ignore: standbys that may be behind.
    """

    eye: Eye
    wanted: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    name: str = "replica delay"
    unit: Unit = Unit.SECONDS

    def read(self) -> Reading:
        found = standbys(self.eye, self.ignore)
        gone = missing(found, self.wanted)
        if gone is not None:
            return gone
        # What was measured last stands there also when all of it is replayed long since and nothing is written.
        worst = max((each for each in found if each.lag > 0), key=lambda standby: standby.delay, default=None)
        return Reading(0.0) if worst is None else Reading(worst.delay, f'on "{worst.name}"')
