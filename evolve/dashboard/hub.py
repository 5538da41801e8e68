"""Wakes all who listen to the page, from whatever thread something was seen in."""

from __future__ import annotations

import asyncio
from threading import Lock


class Hub:
    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.closed = False

    def wake(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """Who listens goes."""
        self.closed = True
        self.wake()

    async def woken(self, seconds: float) -> bool:
        """Wait for the next `wake`; False where none came in that time."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.add(entry)
        if self.closed:
            return False
        try:
            async with asyncio.timeout(seconds):
                await entry[1].wait()
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return True
