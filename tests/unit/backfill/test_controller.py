"""How the batch size follows the time a commit takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evolve.backfill.controller import WINDOW, Controller


def settle(controller: Controller, seconds_per_row: float, commits: int = 100) -> int:
    for _ in range(commits):
        controller.committed(controller.size, controller.size * seconds_per_row)
    return controller.size


def test_it_settles_where_a_commit_takes_the_target() -> None:
    assert 0.8 * 2000 <= settle(Controller(target=0.02), 0.00001) <= 1.2 * 2000


def test_it_follows_rows_that_become_dearer() -> None:
    controller = Controller(target=0.02)
    settle(controller, 0.00001)
    assert 0.8 * 200 <= settle(controller, 0.0001) <= 1.2 * 200


def test_it_doubles_while_far_below_the_target() -> None:
    controller = Controller(target=0.02)
    controller.committed(200, 0.001)
    assert controller.size == 400


def test_a_timeout_halves_and_keeps_it_from_growing() -> None:
    controller = Controller(target=0.02, first=1000)
    controller.too_slow()
    for _ in range(WINDOW):
        controller.committed(controller.size, 0.001)
    assert controller.size == 500
    controller.committed(controller.size, 0.001)
    assert controller.size == 1000


def test_somebody_who_waits_halves_it_down_to_where_that_helps_and_keeps_it_from_growing() -> None:
    controller = Controller(target=0.02, first=300)
    sizes = []
    for _ in range(4):
        controller.waited_for()
        controller.committed(controller.size, 0.001)
        sizes.append(controller.size)
    assert sizes == [150, 75, 50, 50]


def test_somebody_elses_lock_halves_only_once() -> None:
    controller = Controller(target=0.02, first=1000)
    controller.contended()
    controller.committed(500, 0.001)
    assert controller.size == 1000


def test_a_timeout_may_go_below_the_floor_and_come_back() -> None:
    controller = Controller(target=0.02)
    for _ in range(20):
        controller.too_slow()
    assert controller.size == 1
    assert settle(controller, 0.00001) >= controller.smallest


def test_the_short_batch_at_the_end_says_nothing() -> None:
    controller = Controller(target=0.02)
    controller.committed(3, 0.0001)
    assert controller.size == 200


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10)), max_size=100), st.integers(1, 100_000))
def test_it_never_leaves_one_to_largest(history: list[tuple[bool, float]], largest: int) -> None:
    controller = Controller(largest=largest)
    for failed, seconds in history:
        if failed:
            controller.too_slow()
        else:
            controller.committed(controller.size, seconds)
        assert 1 <= controller.size <= largest
