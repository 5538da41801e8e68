"""Backfills that a sensor holds until somebody does something about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from evolve.app.backfill_work import Pace
from evolve.backfill.modes import Mode
from evolve.backfill.progress import Snapshot
from evolve.backfill.sensor_kinds import choose
from evolve.backfill.throttling import Throttling
from support.backfill import Quiet


@dataclass
class Releasing(Quiet):
    """Keeps the reasons of holds, and does something about the first that names `word`."""

    word: str = ""
    release: Callable[[], object] = lambda: None
    holds: list[str] = field(default_factory=list)

    def report(self, snapshot: Snapshot) -> None:
        super().report(snapshot)
        if snapshot.hold is not None:
            self.holds.append(snapshot.hold)
            if self.word in snapshot.hold:
                self.release()

    def held(self, word: str) -> str:
        """The first reason that names `word`."""
        return next(hold for hold in self.holds if word in hold)


def by(
    settings: Mapping[str, Mapping[str, object]], mode: Mode = Mode.FAST, *, largest: int = 100, **pace: int
) -> Pace:
    """A pace with sensors as the settings of a project say."""
    return Pace(largest=largest, throttling=Throttling(sensors=choose(mode, settings)), **pace)  # type: ignore[arg-type]
