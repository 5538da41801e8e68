"""A backfill as spans of OpenTelemetry: the run, its ranges, some of their batches, and waits that last."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, assert_never

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
from evolve.backfill.throttle import Hold

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

SAMPLE = 1.0  # seconds between two batches of a worker that have a span
WORTH_A_SPAN = 1.0  # seconds that a wait lasts

Values = Mapping[str, str | int | float | bool]


class Spans:
    """An observer (`happenings.Observer`) that draws them.

    Args:
        provider: None takes the one that the process has.
        clock: nanoseconds since 1970.
    """

    def __init__(
        self, provider: TracerProvider | None = None, clock: Callable[[], int] = time.time_ns
    ) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._tracer = trace.get_tracer("evolve", tracer_provider=provider)
        self._clock = clock
        self._run: Span | None = None
        # Each by the thread of its worker.
        self._ranges: dict[int, Span] = {}
        self._sampled: dict[int, int] = {}
        self._waits: dict[int, tuple[Hold, int]] = {}

    def __call__(self, happening: Happening) -> None:
        now, thread = self._clock(), get_ident()
        match happening:
            case Begun(run, way):
                self._end(now)
                self._run = self._start(
                    "backfill",
                    None,
                    now,
                    name=run.name,
                    table=run.spec.table.plain,
                    run=run.run_id,
                    way=way.value,
                )
            case Entered(state):
                if self._run is not None:
                    self._run.add_event("backfill.state", {"evolve.state": state.value}, now)
            case Taken(lease):
                self._ranges[thread] = self._start("backfill.range", self._run, now, range=lease.range_no)
            case Committed(scanned, changed, seconds, size):
                if now - self._sampled.get(thread, 0) >= SAMPLE * 1e9:
                    self._sampled[thread] = now
                    began = now - int(seconds * 1e9)
                    values: Values = {"keys": scanned, "rows": changed, "next_size": size}
                    self._start("backfill.batch", self._ranges.get(thread), began, **values).end(now)
            case Waiting(hold):
                self._waits.setdefault(thread, (hold, now))
            case WentOn():
                self._waited(thread, now)
            case Retried(sqlstate, message, seconds):
                span = self._ranges.get(thread) or self._run
                if span is not None:
                    told = {"evolve.sqlstate": sqlstate or "none", "evolve.message": message}
                    span.add_event("backfill.retry", {**told, "evolve.delay": seconds}, now)
            case Left(lease, finished):
                self._waited(thread, now)
                if (span := self._ranges.pop(thread, None)) is not None:
                    span.set_attributes(_named({"rows": lease.changed, "finished": finished}))
                    span.end(now)
            case Ended():
                self._end(
                    now,
                    state=happening.state.value,
                    rows=happening.rows,
                    batches=happening.batches,
                    rejects=happening.rejects,
                )
            case Failed(error):
                if self._run is not None:
                    self._run.set_status(self._trace.Status(self._trace.StatusCode.ERROR, str(error)))
                self._end(now)
            case Looked() | Sensed():
                pass
            case _:
                assert_never(happening)

    def _start(self, name: str, below: Span | None, at: int, /, **values: str | int | float | bool) -> Span:
        above = None if below is None else self._trace.set_span_in_context(below)
        return self._tracer.start_span(
            f"evolve.{name}", context=above, attributes=_named(values), start_time=at
        )

    def _waited(self, thread: int, now: int) -> None:
        hold, since = self._waits.pop(thread, (None, now))
        if hold is not None and now - since >= WORTH_A_SPAN * 1e9:
            below = self._ranges.get(thread) or self._run
            self._start("backfill.wait", below, since, cause=hold.cause, reason=hold.reason).end(now)

    def _end(self, now: int, **values: str | int | float | bool) -> None:
        while self._ranges:
            self._ranges.popitem()[1].end(now)
        if self._run is not None:
            self._run.set_attributes(_named(values))
            self._run.end(now)
            self._run = None


def _named(values: Values) -> dict[str, str | int | float | bool]:
    return {f"evolve.{name}": value for name, value in values.items()}
