"""A time limit on code that was not written to be stopped; on the main thread and off it."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

# Raised again at this interval (seconds) until the code has left: a bare `except:` may swallow it once.
_AGAIN = 0.02

Result = TypeVar("Result")


class TimedOut(BaseException):
    """The limit has passed; no `except Exception` may swallow it."""


class _Armed:
    """Whether the exception may still be raised. Setting it is one instruction, which nothing can interrupt."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = True


class Watcher(threading.Thread):
    """The one thread that may start while a revision is read."""


# Looked up now: revisions may not look up functions of C, and they are about when it is needed.
_send_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Run `call`, and raise `TimedOut` in it once `seconds` have passed; never afterwards.

    On the main thread by SIGALRM, which also ends a sleep or a blocking read; an alarm that was already set goes on
    afterwards. On another thread by an asynchronous exception, which waits for the next Python instruction.
    """
    with _unraisable_ignored():
        if threading.current_thread() is threading.main_thread():
            return _on_main_thread(seconds, call)
        return _off_main_thread(seconds, call)


def _on_main_thread(seconds: float, call: Callable[[], Result]) -> Result:
    armed = _Armed()

    def ring(number: int, frame: FrameType | None) -> None:
        del number, frame
        if armed.on:
            raise TimedOut

    started = time.monotonic()
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    handler = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
        return call()
    finally:
        armed.on = False  # first of all: from here on the alarm may ring and is not heard
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if remaining:
            left = max(remaining - (time.monotonic() - started), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, interval)


def _off_main_thread(seconds: float, call: Callable[[], Result]) -> Result:
    armed = _Armed()
    done = threading.Event()
    lock = threading.Lock()
    send = _send_exception
    target = ctypes.c_ulong(threading.get_ident())
    exception, nothing = ctypes.py_object(TimedOut), None

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            with lock:
                if armed.on:
                    send(target, exception)
            wait = _AGAIN

    watcher = Watcher(target=watch, name="evolve-time-limit", daemon=True)
    try:
        watcher.start()
        return call()
    finally:
        armed.on = False
        send(target, nothing)  # takes back one that was sent and has not arrived
        try:
            with lock:  # the watcher may have looked just before, and be about to send its last
                pass
        except TimedOut:
            pass
        send(target, nothing)
        done.set()
        watcher.join()


@contextmanager
def _unraisable_ignored() -> Iterator[None]:
    """In a finalizer the exception goes nowhere; it comes again, and is no news."""
    report = sys.unraisablehook

    def ignore(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not TimedOut:
            report(unraisable)

    sys.unraisablehook = ignore
    try:
        yield
    finally:
        sys.unraisablehook = report
