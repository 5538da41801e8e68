"""Events as spans of OpenTelemetry, where the extra `otel` is installed; nothing is imported where it is not."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

from evolve.events import Event, Listener

if TYPE_CHECKING:
    from opentelemetry.trace import Span


def spans() -> Listener | None:
    """A listener that draws them with the tracer that the process has set up; None without OpenTelemetry."""
    return _Spans() if find_spec("opentelemetry") is not None else None


class _Spans:
    """Each stretch of work is a span below the one that is open; what happens within is an event of the span."""

    def __init__(self) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._tracer = trace.get_tracer("evolve")
        self._open: list[Span] = []

    def __call__(self, event: Event) -> None:
        stretch, _, moment = event.name.rpartition(".")
        values = {
            f"evolve.{name}": _value(value) for name, value in event.values.items() if value is not None
        }
        nanoseconds = int(event.at.timestamp() * 1_000_000_000)
        if moment == "begin":
            above = self._trace.set_span_in_context(self._open[-1]) if self._open else None
            self._open.append(
                self._tracer.start_span(
                    f"evolve.{stretch}", context=above, attributes=values, start_time=nanoseconds
                )
            )
        elif moment in ("end", "fail") and self._open:
            span = self._open.pop()
            span.set_attributes(values)
            if moment == "fail":
                status = self._trace.Status(self._trace.StatusCode.ERROR, str(event.values.get("error", "")))
                span.set_status(status)
            span.end(nanoseconds)
        elif self._open:
            self._open[-1].add_event(event.name, values, nanoseconds)


def _value(value: object) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else json.dumps(value, default=str)
