"""The metrics of a backfill: their names, what they count, and in which unit."""

from __future__ import annotations

from enum import StrEnum

from evolve.values import dataclass

PREFIX = "evolve_backfill_"
OF_A_RUN = ("name", "table")  # every metric has these labels


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Scope(StrEnum):
    """Whose value it is: what several processes show of one run is summed up, or is the same for all."""

    PROCESS = "this process"
    RUN = "the run"


@dataclass(frozen=True, slots=True)
class Metric:
    """
    Args:
        name: for Prometheus, behind the prefix, with unit and "_total" as is usual there.
        unit: for OpenTelemetry, in UCUM.
        labels: beside those of a run.
        buckets: of a histogram, upper bounds in its unit.
    """

    name: str
    kind: Kind
    scope: Scope
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        return PREFIX + self.name

    @property
    def all_labels(self) -> tuple[str, ...]:
        return (*OF_A_RUN, *self.labels)

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which Prometheus stores it."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.full_name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.full_name,)

    @property
    def dotted_name(self) -> str:
        """For OpenTelemetry, which appends unit and "_total" where it writes for Prometheus: the same names there."""
        name = self.name.removesuffix("_total")
        for suffix in ("_seconds", "_bytes", "_ratio"):
            name = name.removesuffix(suffix)
        return f"evolve.backfill.{name}"


ROWS = Metric(
    "rows_total",
    Kind.COUNTER,
    Scope.PROCESS,
    "{row}",
    "Rows written; by an undo, rows that have their old values again.",
)
KEYS = Metric(
    "keys_total",
    Kind.COUNTER,
    Scope.PROCESS,
    "{key}",
    "Keys walked, also those of rows that needed nothing.",
)
BATCHES = Metric("batches_total", Kind.COUNTER, Scope.PROCESS, "{batch}", "Batches committed.")
BATCH_SECONDS = Metric(
    "batch_seconds",
    Kind.HISTOGRAM,
    Scope.PROCESS,
    "s",
    "Time of a batch, from its first statement to the end of its commit.",
    buckets=(0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
BATCH_SIZE = Metric("batch_size", Kind.GAUGE, Scope.PROCESS, "{row}", "Rows that the next batch is to have.")
HELD_SECONDS = Metric(
    "held_seconds_total",
    Kind.COUNTER,
    Scope.PROCESS,
    "s",
    "Time that workers waited because of a limit or a sensor, all of them together.",
    labels=("cause",),
)
HELD_WORKERS = Metric(
    "held_workers",
    Kind.GAUGE,
    Scope.PROCESS,
    "{worker}",
    "Workers that wait just now because of a limit or a sensor.",
    labels=("cause",),
)
RETRIES = Metric(
    "retries_total",
    Kind.COUNTER,
    Scope.PROCESS,
    "{retry}",
    "Batches that failed and were tried again; `none` where the server never answered.",
    labels=("sqlstate",),
)
SENSOR = Metric(
    "sensor",
    Kind.GAUGE,
    Scope.PROCESS,
    "",
    "Last value of a sensor, in its own unit; gone while it is not known.",
    labels=("sensor", "unit"),
)
REPLICA_LAG = Metric(
    "replica_lag_bytes",
    Kind.GAUGE,
    Scope.PROCESS,
    "By",
    "WAL that the standby furthest behind has yet to replay; gone while it is not known.",
)
PROGRESS = Metric(
    "progress_ratio", Kind.GAUGE, Scope.RUN, "1", "How far the run is; 1 is the end and nothing else."
)
RANGES = Metric(
    "ranges",
    Kind.GAUGE,
    Scope.RUN,
    "{range}",
    "Ranges of keys that are `open` or `done`.",
    labels=("state",),
)
WORKERS = Metric("workers", Kind.GAUGE, Scope.RUN, "{worker}", "Workers with a live lease, of all processes.")
REJECTS = Metric(
    "rejects",
    Kind.GAUGE,
    Scope.RUN,
    "{row}",
    "Rows set aside since they cannot be written, and not resolved.",
)
STATE = Metric(
    "state",
    Kind.GAUGE,
    Scope.RUN,
    "",
    "1 for the state the run is in, 0 for those it was in before.",
    labels=("state",),
)

METRICS = (
    ROWS,
    KEYS,
    BATCHES,
    BATCH_SECONDS,
    BATCH_SIZE,
    HELD_SECONDS,
    HELD_WORKERS,
    RETRIES,
    SENSOR,
    REPLICA_LAG,
    PROGRESS,
    RANGES,
    WORKERS,
    REJECTS,
    STATE,
)
