"""Threads that look at sensors again and again, so that a worker only reads what was seen last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evolve.postgres.sensors.eye import Eye

PATIENCE = 3.0  # seconds that the end of a run waits for a look to end
IDLE = 1.0  # seconds between two turns of a thread that has nothing to do sooner


@dataclass(slots=True)
class Task:
    """
    Args:
        every: seconds from the end of one turn to the next.
        act: raises nothing.
    """

    every: float
    act: Callable[[], object]
    due: float = 0.0


class Looking:
    """`with` starts a thread for each of its groups, which takes turns with the tasks of the group.

    A look that hangs holds up its own group only. A thread that does not come back in time is left behind.

    Args:
        groups: tasks, and the eye that they look through, which the thread closes when it ends.
    """

    def __init__(self, groups: Sequence[tuple[Sequence[Task], Eye | None]]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._look, args=group, name=f"evolve sensors {number}", daemon=True)
            for number, group in enumerate(groups, 1)
        ]

    def __enter__(self) -> Looking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        until = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _look(self, tasks: Sequence[Task], eye: Eye | None) -> None:
        try:
            while not self._stop.is_set():
                for task in tasks:
                    if time.monotonic() >= task.due and not self._stop.is_set():
                        task.act()
                        task.due = time.monotonic() + task.every
                next_due = min((task.due for task in tasks), default=time.monotonic() + IDLE)
                self._stop.wait(min(max(0.0, next_due - time.monotonic()), IDLE))
        finally:
            if eye is not None:
                eye.close()
