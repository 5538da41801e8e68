"""How far a run is, how fast it goes and when it will end."""

from __future__ import annotations

from collections.abc import Callable

from evolve.values import dataclass

HALF_LIFE = 10.0  # seconds after which an old rate counts half


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at a run.

    Args:
        state: the word an operator is shown.
        rows: rows written by the whole run.
        scanned: keys walked by the whole run.
        fraction: 0.0 to 1.0; None where neither key nor estimate says anything. 1.0 only once the range has ended.
        rows_per_second: keys walked per second of late, waits included; None before the first commit.
        seconds_left: None where unknown.
        size: rows of the next batch.
        hold: why the run waits just now; None where it does not.
    """

    name: str
    state: str
    rows: int
    scanned: int
    fraction: float | None
    rows_per_second: float | None
    seconds_left: float | None
    size: int
    hold: str | None = None


class Meter:
    """Turns commits into a rate and a time left. The rate decays, and waits count into it.

    Args:
        estimate: rows of the table by its statistics; None or 0 where there are none.
    """

    def __init__(self, estimate: int | None, clock: Callable[[], float]) -> None:
        self._estimate = estimate
        self._clock = clock
        self._last = clock()
        self._weight = 0.0
        self._rows = 0.0

    def committed(self, rows: int) -> None:
        now = self._clock()
        decay = 0.5 ** ((now - self._last) / HALF_LIFE)
        self._weight = self._weight * decay + (now - self._last)
        self._rows = self._rows * decay + rows
        self._last = now

    def rate(self) -> float | None:
        return self._rows / self._weight if self._weight > 0 else None

    def fraction(self, scanned: int, by_key: float | None, *, finished: bool) -> float | None:
        """By the table's estimated rows, by the key where that is missing or proves too small; below 1 till the end."""
        if finished:
            return 1.0
        if self._estimate and scanned <= self._estimate:
            return min(scanned / self._estimate, 0.999)
        return None if by_key is None else min(by_key, 0.999)

    def seconds_left(self, scanned: int, fraction: float | None) -> float | None:
        rate = self.rate()
        if not rate or not fraction:
            return None
        return scanned * (1 - fraction) / fraction / rate
