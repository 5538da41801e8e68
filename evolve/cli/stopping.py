"""Ctrl-C and SIGTERM for commands that must end a batch before they leave."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SLICE = 0.05  # seconds: how late a signal may be noticed in a wait


class Signals:
    """Remembers the first signal; a second one acts as it would without us."""

    def __init__(self) -> None:
        self._came: str | None = None

    def requested(self) -> str | None:
        return self._came

    def wait(self, seconds: float) -> None:
        # No lock or event: a handler that runs in the middle of one in the same thread would wait for itself.
        until = time.monotonic() + seconds
        while self._came is None and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, SLICE))

    def remember(self, number: int, frame: FrameType | None) -> None:
        self._came = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def signals() -> Iterator[Signals]:
    """Catch SIGINT and SIGTERM inside the block."""
    caught = Signals()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, caught.remember)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
