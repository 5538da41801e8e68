"""The choice of a batch's shape, with a table whose answers are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from evolve.backfill.shapes import LOOK_AGAIN, SAMPLES, SETTLED, Chooser, Paces, Shape, candidates

PLAIN, WINDOW = Shape(1, touch=False), Shape(5, touch=False)
ALL = candidates(can_touch=True, can_slice=True)


def walk(chooser: Chooser, windows: int, cost: Callable[[Shape], float]) -> Counter[Shape]:
    """So many windows of 1,000 rows; how many took which shape."""
    taken: Counter[Shape] = Counter()
    for _ in range(windows):
        shape = chooser.next()
        taken[shape] += 1
        for number in range(shape.slices):
            rows = 1000 // shape.slices
            chooser.committed(
                shape, rows, cost(shape) * rows, first=number == 0, last=number == shape.slices - 1
            )
    return taken


def test_the_size_settles_in_plain_batches() -> None:
    assert set(walk(Chooser(ALL), SETTLED, lambda _: 1.0)) == {Shape(1, touch=True)}


@given(costs=st.permutations([1.0, 1.3, 2.0, 3.0]))
def test_the_quickest_is_taken_and_the_others_are_looked_at_now_and_then(costs: list[float]) -> None:
    cost = dict(zip(ALL, costs, strict=True))
    chooser = Chooser(ALL)
    walk(chooser, SETTLED, cost.__getitem__)
    taken = walk(chooser, 1000, cost.__getitem__)
    best = min(ALL, key=cost.__getitem__)
    assert chooser.best == best
    others = [taken[shape] for shape in ALL if shape != best]
    assert min(others) > SAMPLES
    assert sum(others) <= 3 * (SAMPLES + 1000 / LOOK_AGAIN)


def test_a_window_may_be_a_little_slower() -> None:
    for slower, chosen in ((1.03, WINDOW), (1.1, PLAIN)):
        chooser = Chooser((WINDOW, PLAIN))
        walk(chooser, 100, lambda shape, slower=slower: slower if shape is WINDOW else 1.0)
        assert chooser.best == chosen


def test_what_becomes_slow_is_left() -> None:
    """As when somebody opens a snapshot that keeps pages from being pruned."""
    chooser = Chooser((WINDOW, PLAIN))
    walk(chooser, 200, lambda shape: 0.6 if shape is WINDOW else 1.0)
    assert chooser.best == WINDOW
    walk(chooser, 3 * LOOK_AGAIN, lambda shape: 1.6 if shape is WINDOW else 1.0)
    assert chooser.best == PLAIN


def test_one_slow_window_changes_nothing() -> None:
    chooser = Chooser((WINDOW, PLAIN))
    walk(chooser, 100, lambda shape: 0.8 if shape is WINDOW else 1.0)
    walk(chooser, 1, lambda _: 50.0)
    assert chooser.best == WINDOW


def test_where_nothing_can_be_chosen_nothing_is_tried() -> None:
    assert candidates(can_touch=False, can_slice=False) == (PLAIN,)
    assert set(walk(Chooser((PLAIN,)), 100, lambda _: 1.0)) == {PLAIN}


def test_workers_of_one_process_try_the_shapes_together() -> None:
    shapes = candidates(can_touch=True, can_slice=False)
    paces = Paces()
    first, second = Chooser(shapes, paces), Chooser(shapes, paces)
    for chooser in (first, second):
        for _ in range(SETTLED):
            chooser.committed(shapes[0], 10, 1.0, first=True, last=True)
    for shape in shapes:
        for _ in range(SAMPLES):
            first.committed(shape, 10, 1.0 if shape.touch else 0.1, first=True, last=True)
    assert second.next() == Shape(1, touch=False)
