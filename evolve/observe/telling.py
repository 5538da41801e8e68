"""From what happens in a backfill to events, for the log and for hooks."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock, get_ident
from typing import assert_never

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
from evolve.backfill.status import State
from evolve.backfill.throttle import Hold
from evolve.errors import EvolveError
from evolve.events import Events

WORTH_TELLING = 1.0  # seconds that a wait lasts until it is told: a limit makes a run wait after each batch
PROGRESS_EVERY = 5.0  # seconds

# For the log alone: a hook that sends messages to people would send too many.
ONLY_LOGGED = frozenset({"backfill.progress", "backfill.range", "backfill.message"})


class Teller:
    """An observer (`happenings.Observer`) that emits events; each has the name and the table of its run."""

    def __init__(self, events: Events, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._clock = clock
        self._lock = Lock()
        self._of: dict[str, object] = {}
        self._waiting: dict[int, float] = {}  # thread → since when
        self._told: set[int] = set()
        self._state: State | None = None
        self._rejects = 0
        self._progress = float("-inf")

    def say(self, message: str) -> None:
        self._emit("message", message=message)

    def __call__(self, happening: Happening) -> None:
        match happening:
            case Begun(run, way):
                self._of = {"name": run.name, "table": run.spec.table.plain, "run": run.run_id}
                self._rejects = run.rejects
                self._emit("begin", way=way.value, by=run.started_by, rows_estimate=run.rows_estimate)
            case Entered(state):
                self._enter(state)
            case Looked(run, fraction):
                self._enter(run.state)
                if run.rejects > self._rejects * 2:  # the first, and then ever less often
                    self._rejects = run.rejects
                    self._emit("rejects", rejects=run.rejects, allowed=run.max_rejects)
                if self._clock() >= self._progress + PROGRESS_EVERY:
                    self._progress = self._clock()
                    share = None if fraction is None else round(fraction, 4)
                    self._emit("progress", rows=run.changed, scanned=run.scanned, fraction=share)
            case Waiting(hold):
                self._wait(hold)
            case WentOn():
                self._go_on()
            case Retried(sqlstate, message, seconds):
                self._emit("retry", sqlstate=sqlstate, message=message, delay=round(seconds, 3))
            case Left(lease, finished):
                self._go_on()
                self._emit(
                    "range",
                    range=lease.range_no,
                    finished=finished,
                    rows=lease.changed,
                    batches=lease.batches,
                )
            case Ended():
                self._emit(
                    "end",
                    state=happening.state.value,
                    rows=happening.rows,
                    batches=happening.batches,
                    seconds=round(happening.seconds, 3),
                    stopped_by=happening.stopped_by,
                    rejects=happening.rejects,
                    conflicts=happening.conflicts,
                    misses=happening.misses,
                )
            case Failed(error):
                self._emit("fail", **_told(error))
            case Taken() | Committed() | Sensed():
                pass
            case _:
                assert_never(happening)

    def _emit(self, what: str, **values: object) -> None:
        self._events.emit(f"backfill.{what}", **self._of, **values)

    def _enter(self, state: State) -> None:
        if state is not self._state:
            self._state = state
            self._emit("state", state=state.value)

    def _wait(self, hold: Hold) -> None:
        with self._lock:
            thread, now = get_ident(), self._clock()
            since = self._waiting.setdefault(thread, now)
            if thread in self._told or now - since < WORTH_TELLING:
                return
            first = not self._told
            self._told.add(thread)
        if first:
            self._emit("hold", cause=hold.cause, reason=hold.reason)

    def _go_on(self) -> None:
        """No worker waits any more whose wait was told."""
        with self._lock:
            thread, now = get_ident(), self._clock()
            since = self._waiting.pop(thread, None)
            if since is None or thread not in self._told:
                return
            self._told.discard(thread)
            if self._told:
                return
        self._emit("go-on", seconds=round(now - since, 3))


def _told(error: BaseException) -> dict[str, object]:
    if isinstance(error, EvolveError):
        return {"error": error.what, "why": error.why, "fix": error.fix}
    return {"error": f"{type(error).__name__}: {error}".rstrip(": ")}
