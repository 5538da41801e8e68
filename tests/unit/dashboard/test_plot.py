"""The line that a run's rate is drawn as."""

from __future__ import annotations

import pytest

from evolve.dashboard.plot import EDGE, HEIGHT, SECONDS, WIDTH, plot, rates_of


def steady(seconds: int, rate: int) -> list[tuple[float, int]]:
    return [(float(second), rate * second) for second in range(seconds + 1)]


def test_a_steady_run_has_one_rate() -> None:
    assert {rate for _, rate in rates_of(steady(60, 100))} == {100.0}


@pytest.mark.parametrize("track", [[], [(0.0, 5)], steady(4, 1), steady(5, 1)])
def test_there_is_no_line_before_two_points(track: list[tuple[float, int]]) -> None:
    assert plot(track) is None


def test_a_run_at_rest_is_drawn_at_the_lower_edge() -> None:
    drawn = plot([(float(second), 7) for second in range(20)])
    assert drawn is not None
    assert {point.split()[1] for point in drawn.line.removeprefix("M").split(" L")} == {f"{HEIGHT:.1f}"}


def test_all_lies_inside_the_drawing_and_ends_at_its_right_edge() -> None:
    drawn = plot([(float(second), second * second) for second in range(2_000)])
    assert drawn is not None
    points = [tuple(map(float, point.split())) for point in drawn.line.removeprefix("M").split(" L")]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[-1] == (WIDTH, EDGE)
    assert drawn.seconds <= SECONDS


def test_a_count_that_falls_is_no_rate() -> None:
    """As where a run was started over."""
    assert min(rate for _, rate in rates_of([*steady(10, 100), (11.0, 0), (16.0, 5)])) == 0
