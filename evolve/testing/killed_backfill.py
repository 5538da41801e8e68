"""Runs the backfill of a change, and is killed behind its second batch, as a machine that fails would kill it.

python -m evolve.testing.killed_backfill SCRIPT_DIRECTORY CHANGE, with EVOLVE_DATABASE_URL set.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from evolve.app.backfill_work import Pace
from evolve.app.run_backfill import run_backfill
from evolve.backfill.progress import Snapshot
from evolve.plan.manifest import load, path_of


class Killer:
    """Looks on, and counts how often the run asks, between two batches, whether it is to stop."""

    def __init__(self) -> None:
        self._asked = 0

    def requested(self) -> str | None:
        self._asked += 1
        if self._asked > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return None

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def report(self, snapshot: Snapshot) -> None:
        pass

    def say(self, message: str) -> None:
        print(message, file=sys.stderr)  # noqa: T201  # who runs it wants to know


def main() -> int:
    directory, change = sys.argv[1:]
    specs = load(path_of(Path(directory), change)).plan.backfills
    spec = specs[0] if specs else None
    if spec is None:
        print(f"{change} has no backfill", file=sys.stderr)  # noqa: T201  # as above
        return 2
    killer = Killer()
    run_backfill(
        os.environ["EVOLVE_DATABASE_URL"],
        spec,
        pace=Pace(largest=20),
        stop=killer,
        watch=killer,
        verify=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
