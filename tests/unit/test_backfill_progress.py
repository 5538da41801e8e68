"""What a backfill prints of itself where no terminal is: enough to follow it, not a line a batch."""

from __future__ import annotations

import pytest

from evolve.backfill.progress import Snapshot
from evolve.cli import backfill_progress
from evolve.cli.backfill_progress import Lines


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(backfill_progress, "time", clock)
    return clock


def snapshot(state: str) -> Snapshot:
    return Snapshot(
        "t.n", state, 0, 0, 0.0, None, None, 100, "at most 400 rows/s" if state == "throttled" else None
    )


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split()[1].rstrip(",") for line in capsys.readouterr().err.splitlines()]


def test_a_pace_that_makes_it_wait_after_each_batch_is_no_line_a_batch(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Lines()
    for _ in range(100):
        lines.report(snapshot("running"))
        clock.now += 0.01
        lines.report(snapshot("throttled"))
        clock.now += 0.02
    assert len(shown(capsys)) <= 4


def test_a_long_wait_shows_within_a_second(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.report(snapshot("running"))
    for _ in range(3):
        clock.now += 0.5
        lines.report(snapshot("throttled"))
    assert shown(capsys) == ["running", "throttled"]


def test_another_phase_shows_at_once(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.report(snapshot("running"))
    lines.report(snapshot("verifying"))
    assert shown(capsys) == ["running", "verifying"]
