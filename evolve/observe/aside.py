"""Hooks in a thread of their own: a backfill, which renews leases in time, never waits for one."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Thread

from evolve.events import Event, Events

MOST = 1_000  # events that may wait for slow hooks
PATIENCE = 15.0  # seconds that hooks have at the end for what still waits


class Aside:
    """A listener that hands events on to `events`, in order, in its own thread; what hooks are too slow for is dropped.

    `with` ends it: hooks get what is waiting, as far as `PATIENCE` lets them.
    """

    def __init__(self, events: Events, *, most: int = MOST, patience: float = PATIENCE) -> None:
        self._events = events
        self._patience = patience
        self._waiting: Queue[Event | None] = Queue(most)
        # A daemon: a hook that hangs does not keep the process.
        self.thread = Thread(target=self._work, name="hooks", daemon=True)
        self.dropped = 0

    def __enter__(self) -> Aside:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        while True:
            try:
                self._waiting.put_nowait(None)
                break
            except Full:
                self._forget_one()
        # A second Ctrl-C ends the process at once.
        self.thread.join(0.0 if kind is KeyboardInterrupt else self._patience)
        if self.thread.is_alive():
            while self._forget_one():
                pass
            with suppress(Full):
                self._waiting.put_nowait(None)  # so the thread ends once the hook at hand lets it go

    def __call__(self, event: Event) -> None:
        try:
            self._waiting.put_nowait(event)
        except Full:
            self.dropped += 1

    def _work(self) -> None:
        while (event := self._waiting.get()) is not None:
            self._events.hand_on(event)

    def _forget_one(self) -> bool:
        try:
            self.dropped += self._waiting.get_nowait() is not None
        except Empty:
            return False
        return True
