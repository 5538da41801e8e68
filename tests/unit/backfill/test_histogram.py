"""How far a run is by the statistics of its key, and when it will end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from evolve.backfill.histogram import Histogram, histogram, walked
from evolve.backfill.keyset import KeyColumn
from evolve.backfill.ports import Want
from evolve.backfill.progress import Meter
from evolve.backfill.record import OpenRange, RunRecord
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.sql.names import QualifiedName

ID = KeyColumn("id", "bigint")
# Half of the rows lie below 100, the others are spread up to a million.
UNEVEN = Histogram(ID, (0.0, 100.0, 1_000_000.0))


def run(*open_: OpenRange, low: str = "0", newest_first: bool = False) -> RunRecord:
    return RunRecord(
        run_id=1,
        name="t.n",
        spec=Spec("t.n", QualifiedName("t")),
        fingerprint="",
        table_oid=1,
        key=(replace(ID, falling=newest_first),),
        state=State.RUNNING,
        want=Want.RUN,
        cut=True,
        low=(low,),
        ranges=len(open_),
        open=open_,
        batches=0,
        scanned=0,
        changed=0,
        rows_estimate=None,
        journal=False,
        fence=0,
        verify=None,
        error=None,
        lead=None,
        workers=(),
        started_by="",
        started_at=datetime.now(UTC),
        ended_at=None,
    )


def test_gaps_in_the_key_count_for_what_they_hold() -> None:
    assert walked(run(OpenRange(None, ("100",), ("1000000",))), UNEVEN) == pytest.approx(0.5)


def test_several_ranges_add_up() -> None:
    ranges = OpenRange(None, ("50",), ("100",)), OpenRange(("100",), None, ("1000000",))
    assert walked(run(*ranges), UNEVEN) == pytest.approx(0.25)


def test_from_the_newest_on() -> None:
    record = run(OpenRange(None, ("100",), ("0",)), low="1000000", newest_first=True)
    assert walked(record, UNEVEN) == pytest.approx(0.5)


def test_keys_that_came_since_the_table_was_analyzed_are_not_guessed_at() -> None:
    assert walked(run(OpenRange(None, ("100",), ("2000000",))), UNEVEN) is None


@pytest.mark.parametrize("bounds", [[], ["7"], ["7", "7"]])
def test_bounds_that_say_nothing(bounds: list[str]) -> None:
    assert histogram(ID, bounds) is None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_never_goes_backwards_nor_reaches_the_end_before_its_time() -> None:
    meter = Meter(100, Clock())
    shown = [
        meter.fraction(scanned, None, finished=False, by_histogram=part)
        for scanned, part in [(10, 0.3), (20, 0.1), (90, None), (500, 0.2), (500, 1.0)]
    ]
    assert shown == [0.3, 0.3, 0.9, 0.9, 0.999]


def test_the_time_left_lies_between_what_the_rate_of_late_and_the_mean_say() -> None:
    clock = Clock()
    meter = Meter(10_000, clock)
    for rows in [100] * 60 + [10] * 30:  # it slows down to a tenth
        clock.now += 1
        meter.committed(rows)
    left = meter.left(6300, 0.63)
    assert left is not None
    assert left.least < 3700 / 70 < left.likely < left.most


def test_a_window_that_is_being_written_counts_as_far_as_it_goes() -> None:
    meter = Meter(1000, Clock())
    shown = [
        meter.fraction(scanned, None, finished=False, by_histogram=0.2, ahead=500)
        for scanned in (200, 400, 600, 900)
    ]
    assert shown == [0.2, 0.4, 0.6, 0.7]
