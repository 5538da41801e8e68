"""What a conversion does, told while it does it: a line when something new begins, and a bar where rows are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evolve.backfill.progress import Snapshot

if TYPE_CHECKING:
    from evolve.cli.backfill_progress import Watch
    from evolve.partition.steps import Step, Track


class Narration:
    """Steps of one name are told as one."""

    def __init__(self, watch: Watch, table: str) -> None:
        self._watch = watch
        self._table = table
        self._steps: Sequence[Step] = ()
        self._spent = 0.0
        self._told: str | None = None
        self._shown: Snapshot | None = None

    def takes(self, track: Track, steps: Sequence[Step], done: int) -> None:
        self._steps = steps
        self._spent = 0.0
        if done:
            self._watch.say(f"{done} of {len(steps)} steps are done already")

    def begins(self, track: Track, step: Step, number: int, total: int) -> None:
        if number and self._steps[number - 1].name == step.name and self._spent:
            return
        together = 1
        while number + together < total and self._steps[number + together].name == step.name:
            together += 1
        title = step.title if together == 1 else f"{together} steps, first {step.title}"
        self._spent = 0.0
        self._shown = None
        self._watch.say(f"{step.name}: {title}")

    def progresses(self, step: Step, rows: int, total: int, rows_per_second: float | None, size: int) -> None:
        fraction = min(rows / total, 0.999) if total else None
        left = max(total - rows, 0) / rows_per_second if total and rows_per_second else None
        self._shown = Snapshot(self._table, step.name, rows, rows, fraction, rows_per_second, left, size)
        self._watch.report(self._shown)

    def holds(self, step: Step, reason: str) -> None:
        before = self._shown or Snapshot(self._table, step.name, 0, 0, None, None, None, 0)
        self._shown = replace(before, state="throttled", hold=reason)
        self._watch.report(self._shown)

    def says(self, message: str) -> None:
        self._watch.say(message)

    def waits(self, step: Step, reason: str, seconds: float) -> None:
        told = f"    {step.name}: {reason}"
        if told != self._told:  # the same again, every tenth of a second, helps nobody
            self._watch.say(f"{told}; again in {seconds:.1f} s" if seconds else told)
            self._told = told

    def ends(self, track: Track, step: Step, number: int, total: int, seconds: float) -> None:
        self._spent += seconds
        if number + 1 == total or self._steps[number + 1].name != step.name:
            self._watch.say(f"    {self._spent:.2f} s")
