"""Waits between batches: a share of the time, a cap on rows per second, standbys that must not fall behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Protocol

from evolve.backfill.ports import LagSensor
from evolve.values import dataclass

POLL = 1.0  # seconds between two looks while a standby is behind
SAMPLE = 0.05  # seconds a look at the standbys stays good: a few batches, so the limit is passed by no more


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait `seconds`, because of `reason`; then ask again."""

    seconds: float
    reason: str


class Throttle(Protocol):
    def committed(self, rows: int, seconds: float) -> None:
        """Take in a batch that wrote `rows` rows and lasted `seconds`."""
        ...

    def hold(self) -> Hold | None:
        """Asked before each batch, and again after each wait; None goes on."""
        ...


class Duty:
    """Work only a share of the time: after each batch wait batch time x (1 / share - 1).

    It spares standbys, WAL and vacuum. Latency is protected by small commits, not by this.

    Args:
        share: above 0, up to 1.
    """

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        self._share = share
        self._clock = clock
        self._until = clock()

    def committed(self, rows: int, seconds: float) -> None:
        self._until = self._clock() + seconds * (1 / self._share - 1)

    def hold(self) -> Hold | None:
        left = self._until - self._clock()
        return Hold(left, f"duty {self._share:.0%}") if left > 0 else None


class RowsPerSecond:
    """At most `limit` rows written per second, measured from commit to commit; unused allowance is not saved up."""

    def __init__(self, limit: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._until = clock()

    def committed(self, rows: int, seconds: float) -> None:
        # The batch's own time counts: the next one may start when this one's rows are paid for.
        began = self._clock() - seconds
        self._until = max(self._until, began) + rows / self._limit

    def hold(self) -> Hold | None:
        left = self._until - self._clock()
        return Hold(left, f"at most {self._limit:g} rows/s") if left > 0 else None


class ReplicaLag:
    """Hold while a standby has more than `hard` bytes of WAL to replay, until it has fewer than a quarter of that."""

    def __init__(self, sensor: LagSensor, hard: int, clock: Callable[[], float]) -> None:
        self._sensor = sensor
        self._hard = hard
        self._clock = clock
        self._sampled: float | None = None
        self._lag = 0
        self._holding = False

    def committed(self, rows: int, seconds: float) -> None:
        """Batches do not matter here; the standbys are asked."""

    def hold(self) -> Hold | None:
        now = self._clock()
        if self._holding or self._sampled is None or now - self._sampled >= SAMPLE:
            self._lag = self._sensor.lag_bytes() or 0
            self._sampled = now
        self._holding = self._lag > (self._hard / 4 if self._holding else self._hard)
        if not self._holding:
            return None
        return Hold(POLL, f"a standby is {self._lag / 1e6:.1f} MB behind, limit {self._hard / 1e6:.1f} MB")


class Throttles:
    """Several at once: the longest wait wins and names itself."""

    def __init__(self, throttles: Sequence[Throttle]) -> None:
        self._throttles = throttles

    def committed(self, rows: int, seconds: float) -> None:
        for throttle in self._throttles:
            throttle.committed(rows, seconds)

    def hold(self) -> Hold | None:
        holds = [hold for throttle in self._throttles if (hold := throttle.hold()) is not None]
        return max(holds, key=lambda hold: hold.seconds, default=None)


class Shared:
    """One throttle for several workers of a process, each in a thread of its own."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._lock = Lock()

    def committed(self, rows: int, seconds: float) -> None:
        with self._lock:
            self._throttle.committed(rows, seconds)

    def hold(self) -> Hold | None:
        with self._lock:
            return self._throttle.hold()
