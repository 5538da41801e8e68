"""Wakes all who listen to the page, from whatever thread something was seen in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Lock


class Hub:
    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.calls = 0  # of `wake` until now
        self.closed = False

    def wake(self) -> None:
        with self._lock:
            self.calls += 1
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            with suppress(RuntimeError):  # of a loop that has ended
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """Who listens goes."""
        self.closed = True
        self.wake()

    async def woken(self, calls: int, seconds: float) -> bool:
        """Wait for the next `wake` after so many; False where none came in that time."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self.calls > calls:
                return True
            self._waiting.add(entry)
        try:
            async with asyncio.timeout(seconds):
                await entry[1].wait()
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return True
