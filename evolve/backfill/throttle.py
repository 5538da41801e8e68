"""Waits between batches: a share of the time, a cap on rows per second, a cap on WAL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import isfinite
from threading import Lock
from typing import Protocol

from evolve.values import dataclass

POLL = 1.0  # seconds between two questions of a throttle that failed
WAL_PER_ROW = 1_000.0  # bytes taken for granted until the first look at the log tells better
LEAST_WAL_PER_ROW = 50.0
LEARN_EVERY = 15.0  # seconds after which what others write is measured anew
LEARN = 0.8  # seconds that this takes: three looks at the log
DECAY = 0.75  # weight of earlier looks, and of the newest at what others write


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait `seconds`, because of `reason`; then ask again.

    Args:
        cause: the limit or the sensor behind it, without any value.
    """

    seconds: float
    reason: str
    cause: str = "other"


class Throttle(Protocol):
    def committed(self, rows: int, seconds: float) -> None:
        """Take in a batch that wrote `rows` rows and lasted `seconds`."""
        ...

    def hold(self) -> Hold | None:
        """Asked before each batch, and again after each wait; None goes on."""
        ...


class Duty:
    """Work only a share of the time: after each batch wait batch time x (1 / share - 1).

    It spares standbys, WAL and vacuum. Latency is protected by small commits, not by this.

    Args:
        share: above 0, up to 1.
    """

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        self.share = share
        self._clock = clock
        self._until = clock()

    def committed(self, rows: int, seconds: float) -> None:
        self._until = self._clock() + seconds * (1 / self.share - 1)

    def hold(self) -> Hold | None:
        left = self._until - self._clock()
        return Hold(left, f"duty {self.share:.0%}", "duty") if left > 0 else None


def whole() -> float:
    """The part of one process where no other works on the run."""
    return 1.0


class RowsPerSecond:
    """At most `limit` rows written per second, measured from commit to commit; unused allowance is not saved up.

    Args:
        part: of the limit that is this process's, above 0 up to 1.
    """

    def __init__(self, limit: float, clock: Callable[[], float], part: Callable[[], float] = whole) -> None:
        self.limit = limit
        self._clock = clock
        self._part = part
        self._until = clock()

    def committed(self, rows: int, seconds: float) -> None:
        # The batch's own time counts: the next one may start when this one's rows are paid for.
        began = self._clock() - seconds
        self._until = max(self._until, began) + rows / (self.limit * self._part())

    def hold(self) -> Hold | None:
        left = self._until - self._clock()
        if left <= 0:
            return None
        return Hold(left, f"at most {self.limit:g} rows/s{_shared(self._part())}", "rows per second")


class WalPerSecond:
    """At most `limit` bytes of WAL per second, by what a row has cost of late.

    A server tells how far its log has come, not who wrote it. So what others write is measured while this run waits,
    now and then for that alone, and taken off; what is left is shared out over the rows that were committed meanwhile.

    Args:
        part: of the limit that is this process's, above 0 up to 1.
    """

    def __init__(self, limit: float, clock: Callable[[], float], part: Callable[[], float] = whole) -> None:
        self.limit = limit
        self._clock = clock
        self._part = part
        self._lock = Lock()
        self._until = clock()
        self._rows = 0  # since the last look
        self._last: tuple[float, int] | None = None
        self._waited = False  # nothing was committed between the last two looks
        self._others: float | None = None  # bytes per second
        self._learn_at = clock()
        self._bytes = 0.0
        self._over = 0.0  # rows
        self._per_row = WAL_PER_ROW

    def go_by(self, limit: float) -> None:
        """Another limit from now on; what the old one still waited for is let go."""
        with self._lock:
            self.limit = limit
            self._until = self._clock()

    def looked(self, position: int) -> None:
        """Take in how many bytes the log has come so far; called from another thread than the others."""
        with self._lock:
            now, rows, self._rows = self._clock(), self._rows, 0
            last, self._last = self._last, (now, position)
            waited, self._waited = self._waited, rows == 0
            if last is None or now <= last[0]:
                return
            seconds, written = now - last[0], position - last[1]
            if rows:
                own = written - (self._others or 0.0) * seconds
                if own < 0:
                    self._learn_at = now  # others write less than they did
                self._bytes = self._bytes * DECAY + own
                self._over = self._over * DECAY + rows
                self._per_row = max(self._bytes / self._over, LEAST_WAL_PER_ROW)
            elif waited and now < self._until:
                # A batch that was under way when the wait began has ended by the second look without a commit.
                rate = written / seconds
                self._others = rate if self._others is None else rate * DECAY + self._others * (1 - DECAY)
                self._learn_at = now + LEARN_EVERY

    def committed(self, rows: int, seconds: float) -> None:
        with self._lock:
            self._rows += rows
            began = self._clock() - seconds
            self._until = max(self._until, began) + rows * self._per_row / (self.limit * self._part())

    def hold(self) -> Hold | None:
        with self._lock:
            now = self._clock()
            if now >= self._learn_at and isfinite(self.limit):
                self._until = max(self._until, now + LEARN)
                self._learn_at = now + LEARN_EVERY
            left = self._until - now
            reason = f"at most {self.limit / 1e6:g} MB of WAL per second{_shared(self._part())}"
            return Hold(left, reason, "WAL per second") if left > 0 else None


def _shared(part: float) -> str:
    return "" if part >= 1 else f", of which {part:.0%} are this process's"


class Guarded:
    """Somebody else's throttle: where it fails the run waits and says so, and does not end."""

    def __init__(self, name: str, throttle: Throttle) -> None:
        self._name = name
        self._throttle = throttle

    def committed(self, rows: int, seconds: float) -> None:
        with suppress(Exception):
            self._throttle.committed(rows, seconds)

    def hold(self) -> Hold | None:
        try:
            hold: object = self._throttle.hold()
        except Exception as error:  # noqa: BLE001  # anybody's code
            return Hold(POLL, f'throttle "{self._name}" failed: {error}')
        if hold is None:
            return None
        if not isinstance(hold, Hold) or not hold.seconds >= 0:
            return Hold(POLL, f'throttle "{self._name}" failed: it answered {hold!r}')
        return hold


class Throttles:
    """Several at once: the longest wait wins and names itself."""

    def __init__(self, throttles: Sequence[Throttle]) -> None:
        self._throttles = throttles

    def committed(self, rows: int, seconds: float) -> None:
        for throttle in self._throttles:
            throttle.committed(rows, seconds)

    def hold(self) -> Hold | None:
        holds = [hold for throttle in self._throttles if (hold := throttle.hold()) is not None]
        return max(holds, key=lambda hold: hold.seconds, default=None)


class Shared:
    """One throttle for several workers of a process, each in a thread of its own."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._lock = Lock()

    def committed(self, rows: int, seconds: float) -> None:
        with self._lock:
            self._throttle.committed(rows, seconds)

    def hold(self) -> Hold | None:
        with self._lock:
            return self._throttle.hold()
