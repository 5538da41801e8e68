"""From what happens in a backfill to the values of its metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock, get_ident
from typing import Protocol, assert_never

from evolve.backfill.happenings import (
    Begun,
    Committed,
    Ended,
    Entered,
    Failed,
    Happening,
    Left,
    Looked,
    Retried,
    Sensed,
    Taken,
    Waiting,
    WentOn,
)
from evolve.backfill.record import RunRecord
from evolve.observe import metrics
from evolve.observe.metrics import Metric


class Instruments(Protocol):
    """Where values go; called from several threads. `labels` are values in the order of `Metric.all_labels`."""

    def add(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """To a counter, or to a histogram as one observation."""
        ...

    def put(self, metric: Metric, value: float | None, labels: tuple[str, ...]) -> None:
        """A gauge has this value from now on; None: it has none."""
        ...


class Recorder:
    """An observer (`happenings.Observer`) that keeps the metrics of the run that began last."""

    def __init__(self, instruments: Instruments, clock: Callable[[], float] = time.monotonic) -> None:
        self._into = instruments
        self._clock = clock
        self._lock = Lock()
        self._of: tuple[str, ...] = ("", "")
        self._state: str | None = None
        self._waiting: dict[int, tuple[str, float]] = {}  # thread → cause, counted up to when
        self._causes: set[str] = set()

    def __call__(self, happening: Happening) -> None:
        into = self._into
        match happening:
            case Begun(run, _):
                self._of = (run.name, run.spec.table.plain)
                # A counter that is seen first when it has grown has no growth to show.
                for counter in (metrics.ROWS, metrics.KEYS, metrics.BATCHES):
                    into.add(counter, 0, self._of)
                self._look(run)
            case Entered(state):
                self._enter(state.value)
            case Looked(run, fraction):
                self._look(run)
                if fraction is not None:
                    into.put(metrics.PROGRESS, fraction, self._of)
            case Committed(scanned, changed, seconds, size):
                into.add(metrics.ROWS, changed, self._of)
                into.add(metrics.KEYS, scanned, self._of)
                into.add(metrics.BATCHES, 1, self._of)
                into.add(metrics.BATCH_SECONDS, seconds, self._of)
                into.put(metrics.BATCH_SIZE, size, self._of)
            case Waiting(hold):
                self._wait(hold.cause)
            case WentOn() | Left():
                self._wait(None)
            case Retried(sqlstate, _, _):
                into.add(metrics.RETRIES, 1, (*self._of, sqlstate or "none"))
            case Sensed(sensor, unit, value):
                self._sense(sensor, unit, value)
            case Ended(state=state):
                self._enter(state.value)
            case Taken() | Failed():
                pass
            case _:
                assert_never(happening)

    def _enter(self, state: str) -> None:
        with self._lock:
            before, self._state = self._state, state
            if before is not None and before != state:
                self._into.put(metrics.STATE, 0, (*self._of, before))
            self._into.put(metrics.STATE, 1, (*self._of, state))

    def _look(self, run: RunRecord) -> None:
        self._enter(run.state.value)
        self._into.put(metrics.RANGES, len(run.open), (*self._of, "open"))
        self._into.put(metrics.RANGES, run.ranges - len(run.open), (*self._of, "done"))
        self._into.put(metrics.WORKERS, len(run.workers), self._of)
        self._into.put(metrics.REJECTS, run.rejects, self._of)

    def _wait(self, cause: str | None) -> None:
        """This thread waits because of `cause` from now on; None: it does not wait."""
        with self._lock:
            now, thread = self._clock(), get_ident()
            if thread in self._waiting:
                before, since = self._waiting.pop(thread)
                self._into.add(metrics.HELD_SECONDS, max(now - since, 0.0), (*self._of, before))
            if cause is not None:
                self._waiting[thread] = (cause, now)
                self._causes.add(cause)
            for each in self._causes:
                count = sum(each == waiting for waiting, _ in self._waiting.values())
                self._into.put(metrics.HELD_WORKERS, count, (*self._of, each))

    def _sense(self, sensor: str, unit: str, value: float | None) -> None:
        self._into.put(metrics.SENSOR, value, (*self._of, sensor, unit))
        if (sensor, unit) == ("replica lag", "bytes"):
            self._into.put(metrics.REPLICA_LAG, value, self._of)
