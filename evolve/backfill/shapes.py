"""How a batch is cut and what its UPDATE names beside the target, chosen by measurement while a run goes.

PostgreSQL prunes what committed updates killed on a page when the next update comes by, and then has room for a HOT
update on the same page. A window makes that happen: its rows are written in several commits, each taking a share of
the rows of every page. A no-op assignment (`c = t.c`) of an indexed column takes away the hint that makes every full
leaf page of that index search for dead entries. Which of both pays depends on indexes, key order and old snapshots:
between 0.4 and 2 times the speed of plain batches. So each is tried on the table itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median
from threading import Lock

from evolve.values import dataclass

SLICES = 5  # commits of a window: HOT has room after the first, and a window stays small enough for memory
SAMPLES = 3  # windows of each shape before the first choice, and the last ones that count later
SETTLED = 8  # commits until the batch size has found its time target; what they took says nothing of a shape
LOOK_AGAIN = 100  # windows between two looks at the shapes that were not chosen
FAR_BEHIND = 1.5  # a shape this much slower is looked at five times less often
PREFERENCE = 0.95  # a window may be this much slower: it spares WAL and the growth of the table


@dataclass(frozen=True, slots=True)
class Shape:
    """
    Args:
        slices: commits that share a window; 1 writes every row of a stretch of keys at once.
        touch: assign indexed columns to themselves.
    """

    slices: int
    touch: bool

    def __str__(self) -> str:
        cut = "plain" if self.slices == 1 else f"window of {self.slices}"
        return f"{cut}, indexed columns assigned" if self.touch else cut


def candidates(*, can_touch: bool, can_slice: bool) -> tuple[Shape, ...]:
    """The shapes to try, the likeliest first."""
    touches = (True, False) if can_touch else (False,)
    slices = (SLICES, 1) if can_slice else (1,)
    return tuple(Shape(cut, touch) for cut in slices for touch in touches)


class Paces:
    """What the shapes have cost of late; one for all workers of a process, so that they try each shape together."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pace: dict[Shape, deque[float]] = {}
        self._windows: dict[Shape, int] = {}
        self._since: dict[Shape, int] = {}

    def add(self, shape: Shape, seconds: float, windows: int = 1) -> None:
        """Take in windows that were written in turns, and what each row of them took."""
        with self._lock:
            self._pace.setdefault(shape, deque(maxlen=SAMPLES)).append(seconds)
            self._windows[shape] = self._windows.get(shape, 0) + windows
            self._since = {other: count + windows for other, count in self._since.items()}
            self._since[shape] = 0

    def windows(self, shape: Shape) -> int:
        """That have been written in this shape."""
        return self._windows.get(shape, 0)

    def since(self, shape: Shape) -> int:
        """Windows since the last one that took this shape."""
        return self._since.get(shape, 0)

    def cost(self, shape: Shape) -> float:
        """Seconds per row, with the window's preference; a shape that has not been tried costs nothing known."""
        with self._lock:
            if shape not in self._pace:
                return float("inf")
            cost = median(self._pace[shape])
        return cost * PREFERENCE if shape.slices > 1 else cost


class Chooser:
    """Which shape the next window takes: each a few times, then the fastest, with a look at the others now and then.

    Args:
        shapes: at least one, the likeliest first.
        paces: shared with other workers of the same table.
    """

    def __init__(self, shapes: Sequence[Shape], paces: Paces | None = None) -> None:
        self._shapes = tuple(shapes)
        self._paces = paces or Paces()
        self._left = SETTLED
        # Plain batches settle the size soonest: each of them may have another one.
        self._settling = min(shapes, key=lambda shape: shape.slices)
        self._rows = 0
        self._seconds = 0.0
        self._commits = 0
        self.best = self._shapes[0]

    def next(self) -> Shape:
        """The shape of the next window."""
        if self._left > 0:
            return self._settling
        for shape in self._shapes:
            if self._paces.windows(shape) < SAMPLES:
                return shape
        self.best = min(self._shapes, key=self._paces.cost)
        for shape in self._shapes:
            if shape != self.best and self._paces.since(shape) >= self._patience(shape):
                return shape
        return self.best

    def committed(self, shape: Shape, rows: int, seconds: float, *, first: bool, last: bool) -> None:
        """Take in one commit.

        Args:
            rows: keys walked by it.
            seconds: that it took, from its first statement to its COMMIT; waits not included.
            first, last: of the windows that are written in turns.
        """
        if self._left > 0:
            self._left -= 1
            return
        if first:
            self._rows, self._seconds, self._commits = 0, 0.0, 0
        self._rows += rows
        self._seconds += seconds
        self._commits += 1
        if not last or self._rows == 0:
            return
        self._paces.add(shape, self._seconds / self._rows, max(1, self._commits // shape.slices))
        self.best = min(self._shapes, key=self._paces.cost)

    def _patience(self, shape: Shape) -> int:
        far = self._paces.cost(shape) > FAR_BEHIND * self._paces.cost(self.best)
        return LOOK_AGAIN * 5 if far else LOOK_AGAIN
