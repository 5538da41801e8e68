"""What makes the copying of rows between partitions wait: the same limits and sensors that hold a backfill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evolve.app.backfill_throttling import throttling_of
from evolve.app.instruments import WAL_EVERY, instruments_of, look_at_log
from evolve.backfill.gauge import Eased, Panel
from evolve.backfill.modes import Mode
from evolve.backfill.sensor import Degree
from evolve.backfill.settings import OFF
from evolve.backfill.throttle import Duty, Shared, Throttle, Throttles, WalPerSecond
from evolve.backfill.throttling import Throttling
from evolve.config import Backfill
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.looking import Looking, Task
from evolve.postgres.sensors.make import Subject


@dataclass(frozen=True, slots=True)
class Politeness:
    """
    Args:
        duty: share of the time it copies, above 0 up to 1.
        wal_per_second: bytes of WAL; None sets no limit.
    """

    duty: float = 1.0
    wal_per_second: float | None = None
    throttling: Throttling = field(default_factory=Throttling)


def politeness_of(settings: Backfill, mode: str | None, folder: Path) -> Politeness:
    """As `[tool.evolve.backfill]` says for backfills, but for the size of batches.

    Args:
        mode: of the command line; None leaves it to the settings.
        folder: where modules of the application are found.

    Raises:
        BadWindow, NoSuchThrottle, BadThrottle, CannotImport, NoFunction
    """
    chosen = Mode(mode or settings.mode)
    return Politeness(chosen.duty, settings.max_wal, throttling_of(settings, chosen, (), (), folder))


@dataclass(frozen=True, slots=True)
class Brakes:
    """Of one process.

    Args:
        duty: share of its time that each worker copies.
        together: what holds for all workers; may be asked by several threads.
    """

    duty: float = 1.0
    together: Throttle = field(default_factory=lambda: Throttles(()))
    panel: Panel = field(default_factory=lambda: Panel(()))

    def worker(self) -> Throttle:
        """What one worker asks before each batch."""
        return Throttles((Duty(self.duty, time.monotonic), self.together, Eased(self.panel, time.monotonic)))

    @property
    def critical(self) -> str | None:
        """What a sensor says that is beyond its critical limit: not to be waited for."""
        state = self.panel.worst()
        return state.text if state.degree is Degree.CRITICAL else None


@contextmanager
def brakes_of(
    url: str, table_oid: int, politeness: Politeness | None, say: Callable[[str], object]
) -> Iterator[Brakes]:
    """Sensors are looked at until the block ends, over connections of their own; those of the server once before.

    Args:
        politeness: None looks at nothing and waits for nothing.
        say: told which sensor is done without, because it cannot see and nobody asked for it.

    Raises:
        CannotImport, NoFunction: the function of a sensor is not there.
    """
    if politeness is None:
        yield Brakes()
        return
    eye, own_eye = Eye(url), Eye(url)
    try:
        found = instruments_of(politeness.throttling, Subject(None, table_oid), eye, own_eye, say)
        limit = OFF if politeness.wal_per_second is None else politeness.wal_per_second
        wal = WalPerSecond(limit, time.monotonic)
        for gauge in found.server:
            gauge.look()
    except BaseException:
        eye.close()
        own_eye.close()
        raise
    groups: list[tuple[list[Task], Eye | None]] = [
        (
            [
                *(Task(gauge.every, gauge.look, time.monotonic() + gauge.every) for gauge in found.server),
                Task(WAL_EVERY, lambda: look_at_log(eye, wal)),
            ],
            eye,
        ),
        ([Task(gauge.every, gauge.look) for gauge in found.own], own_eye),
        *(([Task(gauge.every, gauge.look)], None) for gauge in found.outside),
    ]
    with Looking([group for group in groups if group[0]]):
        yield Brakes(politeness.duty, Shared(Throttles((wal, *found.plugged))), found.panel)
