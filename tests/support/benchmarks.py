"""Measuring, and keeping what was measured in .bench/ as JSON, so that two runs can be compared."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / ".bench"

Compare = Callable[..., float]


def median_seconds(action: Callable[[], object], rounds: int) -> float:
    """The median time of `action`, after one round that is not counted."""
    action()
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


@pytest.fixture
def compare(request: pytest.FixtureRequest) -> Compare:
    """Call it with an action and one to hold it against; returns how many times as long the first one takes.

    Seconds differ from machine to machine; the ratio of two things measured on the same one hardly does.
    """

    def measure(action: Callable[[], object], against: Callable[[], object], *, rounds: int = 15) -> float:
        taken, base = median_seconds(action, rounds), median_seconds(against, rounds)
        result = {
            "schema": 1,
            "benchmark": request.node.name,
            "seconds": round(taken, 6),
            "against_seconds": round(base, 6),
            "ratio": round(taken / base, 3),
            "rounds": rounds,
            "python": platform.python_version(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{request.node.name}.json").write_text(json.dumps(result, indent=2) + "\n")
        print(f"\n{request.node.name}: {taken * 1000:.1f} ms, {taken / base:.2f} times {base * 1000:.1f} ms")
        return taken / base

    return measure
