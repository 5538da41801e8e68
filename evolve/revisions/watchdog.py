"""A time limit on code that was not written to be stopped; on the main thread and off it."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from types import FrameType

# Raised again at this interval (seconds) until the code has left: a bare `except:` may swallow it once.
_AGAIN = 0.02


class TimedOut(BaseException):
    """The limit has passed; no `except Exception` may swallow it."""


class Watchdog:
    """Raises `TimedOut` in the thread that entered it, once `seconds` have passed.

    On the main thread by SIGALRM, which also ends a sleep or a blocking read; an alarm that was already set goes on
    afterwards. On another thread by an asynchronous exception, which waits for the next Python instruction.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Watchdog:
        self._unraisable = sys.unraisablehook
        sys.unraisablehook = self._ignore
        if self._main:
            self._started = time.monotonic()
            self._handler = signal.signal(signal.SIGALRM, _alarm)
            self._pending = signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN)
        else:
            self._target = threading.get_ident()
            self._lock = threading.Lock()
            self._done = threading.Event()
            self._watcher = threading.Thread(target=self._watch, name="evolve-time-limit", daemon=True)
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        late = False
        while True:  # the alarm may ring while it is being switched off
            try:
                self._stop()
                break
            except TimedOut:
                late = True
        sys.unraisablehook = self._unraisable
        if late:
            raise TimedOut

    def _ignore(self, unraisable: sys.UnraisableHookArgs) -> None:
        """In a finalizer the exception goes nowhere; it comes again, and is no news."""
        if unraisable.exc_type is not TimedOut:
            self._unraisable(unraisable)

    def _stop(self) -> None:
        if self._main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._handler)
            remaining, interval = self._pending
            if remaining:
                passed = time.monotonic() - self._started
                signal.setitimer(signal.ITIMER_REAL, max(remaining - passed, 0.001), interval)
            return
        self._done.set()
        with self._lock:
            # One that was sent and has not arrived yet is taken back.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._target), None)
        self._watcher.join()

    def _watch(self) -> None:
        wait = self._seconds
        while not self._done.wait(wait):
            with self._lock:
                if not self._done.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(self._target), ctypes.py_object(TimedOut)
                    )
            wait = _AGAIN


def _alarm(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise TimedOut
