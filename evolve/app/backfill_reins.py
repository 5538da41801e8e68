"""What holds one process while it works on a run, whatever it is at: operators, its pace, sensors, windows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from evolve.app.backfill_brakes import Brakes, brakes_of
from evolve.app.backfill_work import Pace
from evolve.backfill.ports import Watch
from evolve.backfill.record import RunRecord
from evolve.backfill.settings import Settings
from evolve.backfill.steering import Held, Orders, Steered, Steering
from evolve.backfill.throttle import Duty, Shared, Throttle, Throttles


@dataclass(slots=True)
class Reins:
    """
    Args:
        together: what all workers of the process share.
    """

    steering: Steering
    brakes: Brakes
    together: Throttle

    def writer(self) -> Throttle:
        """What a worker asks before each batch."""
        return Throttles((self._alone(), self.together))

    def reader(self) -> Throttle:
        """What is asked by whoever waits or reads, and writes no rows: caps on rows and WAL do not concern it."""
        return Throttles((self._alone(), *self.brakes.plugged))

    def _alone(self) -> Throttle:
        return Throttles((Held(self.steering), Steered(self.steering, _duty), self.brakes.alone()))


@contextmanager
def reins_of(url: str, record: RunRecord, table_oid: int, pace: Pace, watch: Watch) -> Iterator[Reins]:
    """Sensors are looked at until the block ends.

    Raises:
        EvolveError: the causes of `brakes_of`.
    """
    orders = Orders(record.settings, record.pace, record.brake)
    steering = Steering(pace.said, pace.settings, orders, time.monotonic)
    with brakes_of(url, record, table_oid, pace, steering.settings, watch) as brakes:
        yield Reins(steering, brakes, Shared(Steered(steering, brakes.together)))


def _duty(settings: Settings) -> Throttle:
    return Duty(settings.duty or 1.0, time.monotonic)
