"""Ends a process with the one that started it, on Linux; elsewhere it ends when its standard input does."""

from __future__ import annotations

import os
import signal
import sys

_SET_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG


def end_together() -> None:
    """Let this process end with its parent, and each copy of it with this one, whatever kills them."""
    if sys.platform != "linux":
        return
    import ctypes

    library = ctypes.CDLL(None)

    def ask() -> None:
        library.prctl(_SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)

    ask()
    os.register_at_fork(after_in_child=ask)
