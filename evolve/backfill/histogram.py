"""How far along its keys a run is, where the server's statistics say how many rows lie between two keys."""

from __future__ import annotations

from bisect import bisect_right

from evolve.backfill.keyset import Key, KeyColumn, number
from evolve.backfill.record import RunRecord
from evolve.values import dataclass

STALE = 0.02  # of the span of the bounds: keys further outside came since the table was analyzed


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bounds of the first key column between which there are equally many rows.

    Args:
        bounds: ascending, at least two that differ.
    """

    column: KeyColumn
    bounds: tuple[float, ...]

    def below(self, key: Key) -> float | None:
        """Share of the rows up to `key`, 0.0 to 1.0; None where the statistics are older than that key."""
        place = number(self.column.type, key[0])
        if place is None:
            return None
        first, last = self.bounds[0], self.bounds[-1]
        beyond = STALE * (last - first)
        if place < first - beyond or place > last + beyond:
            return None
        if place <= first:
            return 0.0
        if place >= last:
            return 1.0
        bucket = bisect_right(self.bounds, place) - 1
        low, high = self.bounds[bucket], self.bounds[bucket + 1]
        return (bucket + (place - low) / (high - low)) / (len(self.bounds) - 1)


def histogram(column: KeyColumn, bounds: list[str]) -> Histogram | None:
    """None for bounds that are no numbers, or that lie all at one place."""
    places = [number(column.type, bound) for bound in bounds]
    known = tuple(place for place in places if place is not None)
    if len(known) != len(bounds) or len(known) < 2 or known[0] >= known[-1]:
        return None
    return Histogram(column, known)


def walked(record: RunRecord, histogram: Histogram | None) -> float | None:
    """Share of the rows that are behind the cursors, 0.0 to 1.0; None where the statistics do not tell."""
    if histogram is None or not record.cut or record.low is None:
        return None
    start = histogram.below(record.low)
    if start is None:
        return None
    whole = start if record.newest_first else 1.0 - start
    left = 0.0
    for each in record.open:
        place, end = histogram.below(each.cursor or each.low or record.low), histogram.below(each.upto)
        if place is None or end is None:
            return None
        left += abs(end - place)
    return None if whole <= 0 else min(1.0, max(0.0, 1.0 - left / whole))
