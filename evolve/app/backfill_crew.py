"""The workers of one process: threads that walk ranges of a run, and how they show their progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from evolve.app.backfill_reins import Reins, reins_of
from evolve.app.backfill_work import Pace
from evolve.app.backfill_worker import Worker
from evolve.backfill.gauge import Panel
from evolve.backfill.happenings import Looked, Observer, Sensed, nobody
from evolve.backfill.histogram import Histogram, walked
from evolve.backfill.ports import Stop, Watch
from evolve.backfill.progress import Meter, Snapshot
from evolve.backfill.record import RunRecord
from evolve.backfill.runner import Interrupted
from evolve.backfill.shapes import Paces
from evolve.backfill.status import State
from evolve.postgres.backfill_target import Target

LOOK = 0.25  # seconds between two looks at the journal, for progress


@contextmanager
def crew_of(
    url: str,
    record: RunRecord,
    target: Target,
    pace: Pace,
    stop: Stop,
    watch: Watch,
    way: State,
    observer: Observer = nobody,
) -> Iterator[Crew]:
    """`crew_under` reins of its own.

    Raises:
        EvolveError: the causes of `brakes_of`.
    """
    with (
        reins_of(url, record, target.oid, pace, watch) as reins,
        crew_under(reins, url, record, target, pace, stop, watch, way, observer) as crew,
    ):
        yield crew


@contextmanager
def crew_under(
    reins: Reins,
    url: str,
    record: RunRecord,
    target: Target,
    pace: Pace,
    stop: Stop,
    watch: Watch,
    way: State,
    observer: Observer = nobody,
) -> Iterator[Crew]:
    """`pace.workers` threads at work until the block ends; each ends the batch at hand then, but for KeyboardInterrupt.

    Args:
        way: RUNNING goes forward, UNDOING gives back what the undo journal holds, DONE tries rejects once more.
    """
    crew = Crew(stop, reins.brakes.panel)
    paces = Paces()
    for _ in range(pace.workers):
        worker = Worker(
            url, record, target, pace, reins.steering, reins.writer(), crew, watch, way, observer=observer
        )
        worker.paces = paces
        worker.crowded = reins.brakes.crowded()
        reins.brakes.sharing.owners.append(worker.owner)
        crew.start(worker)
    at_once = False
    try:
        yield crew
    except KeyboardInterrupt:
        at_once = True  # a second Ctrl-C: what a worker holds is rolled back like after a crash
        raise
    finally:
        if not at_once:
            crew.dismiss()


class Crew:
    """Workers in threads of their own; to each of them it is what asks to stop (`ports.Stop`).

    Args:
        panel: sensors that are looked at meanwhile.
    """

    def __init__(self, stop: Stop, panel: Panel) -> None:
        self.panel = panel
        self._stop = stop
        self._workers: list[Worker] = []
        self._threads: list[threading.Thread] = []
        self._endings: list[Interrupted | None] = []
        self._error: BaseException | None = None
        self._dismissed = False

    def start(self, worker: Worker) -> None:
        def work() -> None:
            try:
                self._endings.append(worker.work())
            except BaseException as error:  # noqa: BLE001  # raised again where the lead waits
                self._error = self._error or error

        # A daemon, so that a second Ctrl-C ends the process at once.
        thread = threading.Thread(target=work, name=f"worker {len(self._threads) + 1}", daemon=True)
        self._workers.append(worker)
        self._threads.append(thread)
        thread.start()

    def requested(self) -> str | None:
        if self._error is not None or self._dismissed:
            return "another worker"
        return self._stop.requested()

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self.requested() is None and (left := until - time.monotonic()) > 0:
            self._stop.wait(min(left, LOOK))

    def alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self, seconds: float) -> None:
        """Wait for all of them, but no longer."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def dismiss(self) -> None:
        """Let each end its batch, and wait for that."""
        self._dismissed = True
        for thread in self._threads:
            thread.join()

    def ending(self) -> Interrupted | None:
        """How they ended: the first that was stopped, or None where nothing was left.

        Raises:
            EvolveError: of the first worker that failed.
        """
        if self._error is not None:
            raise self._error
        return next((ending for ending in self._endings if ending is not None), None)

    def hold(self) -> str | None:
        """Why all of them wait just now; None where one works."""
        holds = [worker.runner.held if worker.runner else None for worker in self._workers]
        return next((hold.reason for hold in holds if hold is not None), None) if all(holds) else None

    @property
    def size(self) -> int:
        """Rows of a batch of the first worker."""
        runner = self._workers[0].runner
        return 0 if runner is None else runner.controller.size

    @property
    def worked(self) -> float:
        """Seconds a worker was at batches, on average over all of them."""
        runners = [worker.runner for worker in self._workers]
        return sum(runner.worked for runner in runners if runner is not None) / len(runners)

    @property
    def restored(self) -> int:
        return sum(worker.gave_back for worker in self._workers)


class CrewProgress:
    """Shows what a run has done so far, as the journal tells it, with what the workers of this process wait for."""

    def __init__(
        self,
        crew: Crew,
        way: State,
        meter: Meter,
        watch: Watch,
        observer: Observer = nobody,
        histogram: Histogram | None = None,
    ) -> None:
        self._crew = crew
        self._forward = way is not State.UNDOING
        self._state = "retrying" if way is State.DONE else way.value
        self._meter = meter
        self._watch = watch
        self._observer = observer
        self._histogram = histogram
        self._seen: int | None = None
        self._work = Meter(None, time.monotonic)
        self._worked = 0.0

    def report(self, record: RunRecord) -> None:
        done = record.scanned if self._forward else self._crew.restored
        self._meter.committed(0 if self._seen is None else done - self._seen)
        self._seen = done
        fraction = self._meter.fraction(
            done,
            record.by_key if self._forward else None,
            finished=self._forward and record.at_end,
            by_histogram=walked(record, self._histogram) if self._forward else None,
            ahead=record.ahead,
        )
        worked = self._crew.worked
        self._work.committed(worked - self._worked)
        self._worked = worked
        duty = self._work.rate() if worked else None
        left = self._meter.left(done, fraction)
        self._observer(Looked(record, fraction))
        for gauge in self._crew.panel.gauges:
            self._observer(Sensed(gauge.sensor.name, gauge.sensor.unit, gauge.value))
        hold = self._crew.hold()
        self._watch.report(
            Snapshot(
                name=record.name,
                state="throttled" if hold is not None else self._state,
                rows=record.changed if self._forward else done,
                scanned=done,
                fraction=fraction,
                rows_per_second=self._meter.rate(),
                seconds_left=None if left is None else left.likely,
                size=self._crew.size,
                hold=hold,
                mean_rows_per_second=self._meter.mean(),
                seconds_least=None if left is None else left.least,
                seconds_most=None if left is None else left.most,
                duty=None if duty is None else min(duty, 1.0),
                rejects=record.rejects,
            )
        )
