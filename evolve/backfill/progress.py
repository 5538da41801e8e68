"""How far a run is, how fast it goes and when it will end."""

from __future__ import annotations

from collections.abc import Callable

from evolve.values import dataclass

HALF_LIFE = 10.0  # seconds after which an old rate counts half
MARGIN = 1.1  # the time left is given no closer than this, either way
NEARLY = 0.999  # the greatest fraction of a run that has not ended


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
        mean_rows_per_second: as `rows_per_second`, since this process began.
        seconds_least, seconds_most: what `seconds_left` lies between.
        duty: share of the time of late in which the workers of this process were at a batch; None before the first.
        rejects: rows that could not be written and were set aside.
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
    mean_rows_per_second: float | None = None
    seconds_least: float | None = None
    seconds_most: float | None = None
    duty: float | None = None
    rejects: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """Seconds until the end, and what they lie between."""

    least: float
    likely: float
    most: float


class Meter:
    """Turns commits into a rate and a time left. The rate decays, and waits count into it.

    Args:
        estimate: rows of the table by its statistics; None or 0 where there are none.
    """

    def __init__(self, estimate: int | None, clock: Callable[[], float]) -> None:
        self._estimate = estimate
        self._clock = clock
        self._began = self._last = clock()
        self._weight = 0.0
        self._rows = 0.0
        self._all = 0.0
        self._shown = 0.0

    def committed(self, rows: float) -> None:
        now = self._clock()
        decay = 0.5 ** ((now - self._last) / HALF_LIFE)
        self._weight = self._weight * decay + (now - self._last)
        self._rows = self._rows * decay + rows
        self._all += rows
        self._last = now

    def rate(self) -> float | None:
        return self._rows / self._weight if self._weight > 0 else None

    def mean(self) -> float | None:
        """The rate since the meter was made."""
        return self._all / (self._last - self._began) if self._last > self._began else None

    def fraction(
        self,
        scanned: int,
        by_key: float | None,
        *,
        finished: bool,
        by_histogram: float | None = None,
        ahead: int = 0,
    ) -> float | None:
        """By the key's histogram; else by the table's estimated rows, or by the key where that is missing or proves too
        small. Below 1 till the end, and never less than what was said before.

        Args:
            ahead: so many of the rows in `scanned` lie in front of what `by_histogram` counts.
        """
        if finished:
            return 1.0
        by_rows = scanned / self._estimate if self._estimate and scanned <= self._estimate else None
        found = by_key if by_rows is None else by_rows
        if by_histogram is not None:
            found = by_histogram
            if by_rows is not None and self._estimate:
                found = max(found, min(by_rows, found + ahead / self._estimate))
        if found is None:
            return None
        self._shown = max(self._shown, min(found, NEARLY))
        return self._shown

    def seconds_left(self, scanned: int, fraction: float | None) -> float | None:
        rate = self.rate()
        if not rate or not fraction:
            return None
        return scanned * (1 - fraction) / fraction / rate

    def left(self, scanned: int, fraction: float | None) -> Left | None:
        """`seconds_left`, between the rate of late and the mean, and between what statistics and keys say is left."""
        likely, rate = self.seconds_left(scanned, fraction), self.rate()
        if likely is None or not rate or not fraction:
            return None
        rates = (rate, self.mean() or rate)
        rows = [scanned * (1 - fraction) / fraction]
        if self._estimate and scanned <= self._estimate:
            rows.append(self._estimate - scanned)
        return Left(min(rows) / max(rates) / MARGIN, likely, max(rows) / min(rates) * MARGIN)
