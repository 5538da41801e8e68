"""How many rows the next batch takes, so that a commit lasts about as long as wanted."""

from __future__ import annotations

import math
from collections import deque

SMALLEST = 50
LARGEST = 50_000
FIRST = 200
TARGET = 0.020  # seconds per commit: small commits are what protects the application's latency

DECAY = 0.75  # weight of the past in the decayed rate
SLOW = 1.5  # times the target: what is held is that of twenty commits one takes twice as long, and this comes before it
WINDOW = 20  # commits looked at for the 95th percentile, and commits without growth after a timeout


class Controller:
    """Steers the batch size by time.

    It doubles while a commit takes less than a quarter of the target, follows the decayed rate within half and one and
    a half times the last size, shrinks to 0.7 when the slowest of the last commits took more than one and a half times
    the target, and halves at once after a timeout, with no growth for the next 20 commits.

    Args:
        target: seconds one commit should take.
        smallest, largest: rows; a timeout may still go below `smallest`, down to one row.
    """

    def __init__(
        self, *, target: float = TARGET, smallest: int = SMALLEST, largest: int = LARGEST, first: int = FIRST
    ) -> None:
        self.target = target
        self.smallest = min(smallest, largest)
        self.largest = largest
        self.size = min(max(first, self.smallest), largest)
        self._rows = 0.0
        self._seconds = 0.0
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._frozen = 0

    def committed(self, rows: int, seconds: float) -> None:
        """Take in a commit that walked `rows` keys in `seconds`."""
        self._rows = self._rows * DECAY + rows
        self._seconds = self._seconds * DECAY + seconds
        self._recent.append(seconds)
        if rows < self.size:
            return  # the last, short batch of a range says nothing about the size
        if seconds * 4 < self.target:
            wanted = self.size * 2.0
        else:
            wanted = self._rows / max(self._seconds, 1e-9) * self.target
            wanted = min(max(wanted, self.size / 2), self.size * 1.5)
        if self._slow():
            wanted = min(wanted, self.size * 0.7)
            self._recent.clear()
        if self._frozen:
            self._frozen -= 1
            wanted = min(wanted, self.size)
        # Rounded up, so that a size which a timeout pushed down to one row can grow again.
        self.size = min(max(math.ceil(wanted), min(self.smallest, self.size)), self.largest)

    def too_slow(self) -> None:
        """Take in a batch that timed out: half the size at once, down to one row, and no growth for a while."""
        self.contended()
        self._frozen = WINDOW

    def contended(self) -> None:
        """Take in a batch that met somebody else's lock or write: half the size for the next try; it may grow again."""
        self.size = max(1, self.size // 2)

    def waited_for(self) -> None:
        """Somebody waited for the locks of a batch: half the size, as far as that makes commits shorter, and no growth
        for a while.
        """
        self.size = max(self.size // 2, min(self.size, self.smallest))
        self._frozen = WINDOW

    def aim(self, target: float, largest: int) -> None:
        """Seconds and rows that were set anew; the size follows with the next commits, what is too large at once."""
        self.target = target
        self.largest = largest
        self.size = min(self.size, largest)

    @property
    def usual(self) -> float | None:
        """Seconds of the middle one of the last commits; None before there were any."""
        seconds = sorted(self._recent)
        return seconds[len(seconds) // 2] if seconds else None

    def _slow(self) -> bool:
        if len(self._recent) < WINDOW:
            return False
        return sorted(self._recent)[int(WINDOW * 0.95) - 1] > SLOW * self.target
