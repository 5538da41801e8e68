"""What a backfill prints of itself where no terminal is: enough to follow it, not a line a batch."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import replace

import pytest

from evolve.backfill.progress import Snapshot
from evolve.cli import backfill_progress
from evolve.cli.backfill_progress import Lines, describe, fitting, showing, time_left
from evolve.durations import span


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(backfill_progress, "time", clock)
    return clock


def snapshot(state: str, hold: str = "at most 400 rows/s") -> Snapshot:
    return Snapshot("t.n", state, 0, 0, 0.0, None, None, 100, hold if state == "throttled" else None)


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


def test_another_reason_to_wait_shows_but_not_another_number(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Lines()
    for hold in ("a standby is 70.1 MB behind", "a standby is 68 MB behind", "outside of its hours"):
        lines.report(snapshot("throttled", hold))
        clock.now += 1.5
    assert [line.rpartition("waiting: ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "a standby is 70.1 MB behind",
        "outside of its hours",
    ]


FULL = Snapshot(
    name="t.n",
    state="throttled",
    rows=1200,
    scanned=1300,
    fraction=0.125,
    rows_per_second=100.0,
    seconds_left=91.0,
    size=50,
    hold="at most 400 rows/s",
    mean_rows_per_second=200.0,
    seconds_least=45.0,
    seconds_most=100.0,
    duty=0.25,
    rejects=2,
)


def test_a_line_tells_all_that_is_known() -> None:
    assert describe(FULL) == (
        "throttled, 12 %, 2 set aside, 1,200 rows, 100 rows/s (mean 200), 45 s to 2 min left, batch 50,"
        " 25 % at work, waiting: at most 400 rows/s"
    )


@pytest.mark.parametrize("width", [0, 1, 5, 12, 30, 200])
def test_a_narrow_terminal_is_shown_what_matters_most(width: int) -> None:
    shown = fitting(["1,200 rows", "100 rows/s", "batch 50"], width)
    assert len(shown) <= width
    assert "1,200 rows  100 rows/s  batch 50".startswith(shown.removesuffix("…"))


def test_no_time_is_left_at_the_end() -> None:
    assert time_left(replace(FULL, fraction=1.0)) is None


@pytest.mark.parametrize(
    ("least", "most", "told"),
    [
        (40, 50, "40 to 50 s"),
        (100, 170, "2 to 3 min"),
        (50, 600, "50 s to 10 min"),
        (7200, 7300, "about 2 h"),
        (3600 * 50, 3600 * 120, "50 h to 5 days"),
    ],
)
def test_a_range_is_no_more_exact_than_it_is_wide(least: float, most: float, told: str) -> None:
    assert span(least, most) == told


def everything(terminal: int) -> str:
    """What was written to the other end, which is closed by now, without what moves the cursor."""
    seen = b""
    with suppress(OSError):  # as a terminal says that nothing more will come
        while more := os.read(terminal, 10_000):
            seen += more
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [30, 58, 70, 160])
def test_the_bar_fits_its_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    main, terminal = os.openpty()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(terminal, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        with showing("text", quiet=False) as watch:
            watch.report(FULL)
    shown = everything(main)
    os.close(main)
    lines = [line.rpartition("\r")[2] for line in shown.splitlines()]
    assert any("12 %" in line for line in lines)
    assert any("2 set aside" in line for line in lines)
    assert all(len(line) < columns for line in lines), lines
