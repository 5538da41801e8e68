"""What happens in one process while it works on a run, for whoever measures or writes it down."""

from __future__ import annotations

from collections.abc import Callable

from evolve.backfill.ports import Lease
from evolve.backfill.record import RunRecord
from evolve.backfill.status import State
from evolve.backfill.throttle import Hold
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Begun:
    """
    Args:
        way: RUNNING goes forward, UNDOING gives back old values, DONE tries rejects once more, VERIFYING
            only looks.
    """

    run: RunRecord
    way: State


@dataclass(frozen=True, slots=True)
class Entered:
    """The run stands in this state from now on, by what this process did."""

    state: State


@dataclass(frozen=True, slots=True)
class Looked:
    """How the run stands by its journal; several times a second.

    Args:
        fraction: as `progress.Snapshot` has it.
    """

    run: RunRecord
    fraction: float | None


@dataclass(frozen=True, slots=True)
class Taken:
    """A worker, in a thread of its own, begins with a range; up to `Left` what happens there belongs to that."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Committed:
    """
    Args:
        scanned: keys walked; `changed`: rows written.
        seconds: all that the batch took.
        size: rows that the next batch is to have.
    """

    scanned: int
    changed: int
    seconds: float
    size: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A worker is told to wait; told anew at least every `runner.HEARTBEAT`, up to `WentOn`."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class WentOn:
    """A worker waits no longer."""


@dataclass(frozen=True, slots=True)
class Retried:
    """A batch failed and is tried once more.

    Args:
        sqlstate: None where the server never answered.
        seconds: until the next try.
    """

    sqlstate: str | None
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Sensed:
    """A look at a sensor, whether or not anything waits for it.

    Args:
        unit: as `sensor.Unit` has it.
        value: None while it is not known.
    """

    sensor: str
    unit: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Left:
    """A worker leaves its range.

    Args:
        finished: it reached the last key.
    """

    lease: Lease
    finished: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """What this process did for the run is over; its parts as `Outcome` has them.

    Args:
        misses: rows that verification found undone; None where nothing was verified.
    """

    state: State
    rows: int
    batches: int
    seconds: float
    stopped_by: str | None
    rejects: int
    conflicts: int
    misses: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    error: BaseException


Happening = (
    Begun | Entered | Looked | Taken | Committed | Waiting | WentOn | Retried | Sensed | Left | Ended | Failed
)

Observer = Callable[[Happening], None]
"""Called from the threads of all workers, between two batches: it must neither wait nor raise."""


def nobody(_: Happening) -> None:
    """Looks on and keeps nothing."""
