"""What a run will take, from a few batches that were rolled back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evolve.backfill.aftermath import Tidiness, aftermath
from evolve.backfill.forecast import Batch, Forecast, Limits, Place, Setting, forecast
from evolve.sql.names import QualifiedName

# 100 bytes a row; each batch of a thousand rows takes 10 ms and writes 300 bytes of log a row, and images beside.
BATCH = Batch(keys=1000, changed=1000, seconds=0.010, wal=1_300_000, heap=100_000, hot=0)
PLACES = [Place(name, (BATCH, BATCH), again=(replace(BATCH, wal=300_000),)) for name in ("first", "last")]
SETTING = Setting(rows=1_000_000, heap=100_000_000, indexes=20_000_000, windows=False, pays=False)


def made(setting: Setting = SETTING, limits: Limits | None = None, places: list[Place] = PLACES) -> Forecast:
    found = forecast(places, setting, limits or Limits())
    assert found is not None
    return found


def test_a_page_has_no_more_than_one_image_until_the_next_checkpoint() -> None:
    # As met, images would take a thousand bytes a row; the table and its indexes have 120 MB.
    assert made().full_pages == pytest.approx(120_000_000, rel=0.1)


def test_the_range_holds_the_likely_time() -> None:
    seconds = made().seconds
    assert seconds.likely == pytest.approx(10, rel=0.1)
    assert seconds.least < seconds.likely < seconds.most


def test_windows_let_the_table_grow_less() -> None:
    windows = made(replace(SETTING, windows=True, pays=True))
    assert windows.heap.likely < made().heap.likely / 2
    assert windows.heap.most >= made().heap.likely


def test_where_nobody_can_tell_which_shape_is_quicker_the_likely_lies_between() -> None:
    windows, either, plain = (
        made(replace(SETTING, windows=windows, pays=pays))
        for windows, pays in ((True, True), (True, False), (False, False))
    )
    assert windows.wal.likely < either.wal.likely < plain.wal.likely
    assert windows.heap.likely < either.heap.likely < plain.heap.likely


def test_a_cap_on_the_rate_makes_it_longer() -> None:
    assert made(limits=Limits(rows_per_second=1000)).seconds.likely == pytest.approx(1000)


def test_half_duty_takes_twice_as_long() -> None:
    assert made(limits=Limits(duty=0.5)).seconds.likely == pytest.approx(2 * made().seconds.likely, rel=0.1)


def test_a_standby_that_replays_too_slowly_is_told() -> None:
    slow = made(replace(SETTING, standbys=1, replay=1_000_000.0))
    assert slow.catch_up is not None
    assert slow.catch_up > 0
    assert slow.seconds.most > 300


def test_rows_that_no_predicate_finds_cost_no_log() -> None:
    none = replace(BATCH, changed=0, wal=0.0, heap=0)
    found = made(places=[Place("first", (none,), again=(none,))])
    assert (found.changed, found.wal.most, found.heap.most, found.dead) == (0, 0, 0, 0)


def test_nothing_is_foretold_where_nothing_could_be_tried() -> None:
    assert forecast([Place("first", (), failed="lock timeout")], SETTING, Limits()) is None


# after a run


def tidy(dead: int, above: int | None, index: int = 50_000_000) -> Tidiness:
    return Tidiness(QualifiedName("t"), 100_000_000, 1_000_000, dead, above, {QualifiedName("t_note"): index})


@pytest.mark.parametrize(
    ("dead", "above", "kinds"),
    [
        (900_000, 200_000, []),  # autovacuum comes by itself
        (900_000, None, ["vacuum"]),
        (900_000, 2_000_000, ["vacuum"]),
        (100, None, []),  # not worth a command
    ],
)
def test_vacuum_is_hinted_at_where_nothing_else_comes(dead: int, above: int | None, kinds: list[str]) -> None:
    now = [tidy(dead, above)]
    found = aftermath(QualifiedName("t"), now, now, analyzed=True, not_analyzed=None)
    assert [hint.kind for hint in found.hints] == kinds


def test_an_index_that_grew_by_half_is_worth_a_reindex() -> None:
    found = aftermath(
        QualifiedName("t"), [tidy(0, 1)], [tidy(0, 1, 80_000_000)], analyzed=True, not_analyzed=None
    )
    assert [hint.command for hint in found.hints] == ["REINDEX INDEX CONCURRENTLY t_note"]


def test_statistics_that_could_not_be_taken_are_told_with_the_command() -> None:
    found = aftermath(QualifiedName("t"), [], [], analyzed=False, not_analyzed="lock timeout")
    assert [(hint.kind, hint.command) for hint in found.hints] == [("analyze", "ANALYZE t")]
