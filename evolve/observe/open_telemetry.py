"""OpenTelemetry as its environment variables ask for it; where nobody asks nothing of it is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from evolve.observe.metrics import METRICS, Kind, Metric

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram

    # A name of its own in the API, which has none for it in public.
    from opentelemetry.metrics import _Gauge as Gauge
    from opentelemetry.sdk.resources import Resource

_VARIABLES = {"traces": "OTEL_TRACES_EXPORTER", "metrics": "OTEL_METRICS_EXPORTER"}
_PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


class Unusable(Exception):
    """Why spans or metrics cannot go where they are to."""


def set_up(say: Callable[[str], None]) -> bool:
    """Whether spans and metrics have anybody to go to.

    What the process has set up already, as `opentelemetry-instrument` does, is left as it is. Otherwise exporters are
    those of OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER; endpoint, headers, sampler, resource and the rest are read
    from the environment by OpenTelemetry itself.

    Args:
        say: told what is missing or wrong: it is no reason to leave the work undone.
    """
    if "opentelemetry.trace" in sys.modules:
        return True
    wanted = {signal: _wanted(signal) for signal in _VARIABLES}
    if not any(wanted.values()) or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    asking = ", ".join(_VARIABLES[signal] for signal, names in wanted.items() if names)
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        say(f"OpenTelemetry is asked for ({asking}) and not installed: pip install 'alembic-evolve[otel]'")
        return False
    try:
        _provide_traces(wanted["traces"])
        _provide_metrics(wanted["metrics"])
    except Unusable as unusable:
        say(f"OpenTelemetry is asked for ({asking}), but {unusable}")
        return False
    return True


def _wanted(signal: str) -> list[str]:
    text = os.environ.get(_VARIABLES[signal], "")
    return [name for part in text.split(",") if (name := part.strip()) not in ("", "none")]


def _provide_traces(names: list[str]) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporters = [_exporter("traces", name) for name in names]
    if exporters:
        provider = TracerProvider(resource=_resource())
        for exporter in exporters:
            provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(provider)


def _provide_metrics(names: list[str]) -> None:
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader

    exporters = [_exporter("metrics", name) for name in names]
    if exporters:
        readers = [
            exporter if isinstance(exporter, MetricReader) else PeriodicExportingMetricReader(exporter)
            for exporter in exporters
        ]
        metrics.set_meter_provider(MeterProvider(readers, resource=_resource()))


def _resource() -> Resource:
    from opentelemetry.sdk.resources import Resource

    named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if named else {"service.name": "evolve"})


def _exporter(signal: str, name: str) -> Any:
    """Of a class that an installed distribution registered under that name.

    Raises:
        Unusable: none has, or it does not work.
    """
    if name == "otlp":
        protocol = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or os.environ.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL"
        )
        names = [_PROTOCOLS.get(protocol.strip(), protocol)] if protocol else list(_PROTOCOLS.values())
    else:
        names = [name]
    group = f"opentelemetry_{signal}_exporter"
    for each in names:
        for entry in entry_points(group=group, name=each):
            try:
                made = entry.load()
                # stdout is for results.
                return made(out=sys.stderr) if each == "console" else made()
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                raise Unusable(f'the exporter of {signal} "{each}" cannot be used: {what}') from error
    wants = "opentelemetry-exporter-" + names[-1].replace("_", "-")
    raise Unusable(f'no exporter of {signal} is installed under the name "{name}": pip install {wants}')


class Instruments:
    """`recorder.Instruments` of the meter provider that the process has. A value that is gone keeps its last number."""

    def __init__(self) -> None:
        from opentelemetry import metrics

        meter = metrics.get_meter("evolve")
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for each in METRICS:
            name, unit, meaning = each.dotted_name, each.unit, each.meaning
            match each.kind:
                case Kind.COUNTER:
                    self._counters[each.name] = meter.create_counter(name, unit, meaning)
                case Kind.GAUGE:
                    self._gauges[each.name] = meter.create_gauge(name, unit, meaning)
                case Kind.HISTOGRAM:
                    self._histograms[each.name] = meter.create_histogram(
                        name, unit, meaning, explicit_bucket_boundaries_advisory=each.buckets
                    )

    def add(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        attributes = dict(zip(metric.all_labels, labels, strict=True))
        if metric.kind is Kind.HISTOGRAM:
            self._histograms[metric.name].record(value, attributes)
        else:
            self._counters[metric.name].add(value, attributes)

    def put(self, metric: Metric, value: float | None, labels: tuple[str, ...]) -> None:
        if value is not None:
            self._gauges[metric.name].set(value, dict(zip(metric.all_labels, labels, strict=True)))
