"""Runs commands of evolve, each in a process of its own that clients share no interpreter with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Death:
    """When SIGKILL hits a command; dying.py says what moments there are.

    Args:
        survived: moments that it has died at before: it dies at the first other one.
        let_by: how many of those others are let by as well.
        lasting: only at moments that may leave another state than the last did.
    """

    survived: frozenset[str] = frozenset()
    let_by: int = 0
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Args:
        status: its exit status; minus the signal's number where one killed it.
    """

    command: str
    status: int
    stdout: str
    stderr: str

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL

    @property
    def moment(self) -> str:
        """At which it was killed."""
        return self.stderr.rstrip().rpartition("\n")[2]


class Commands:
    """`with Commands(folder) as commands: commands.run("status")`.

    A process that has imported evolve waits, and forks for each command: a road has dozens of them, and Python and its
    libraries take half a second to start.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __enter__(self) -> Self:
        # Beside the project, so that nobody else's readings are met or left.
        self._cache = tempfile.TemporaryDirectory(prefix="evolve-scene-")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "EVOLVE_"))}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "evolve.testing.phase_harness.command_server"],
            cwd=self.directory,
            env={**ours, "NO_COLOR": "1", "EVOLVE_CACHE_DIR": self._cache.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.communicate()
        self._cache.cleanup()

    def run(self, *arguments: str, death: Death | None = None) -> Ended:
        """Wait for its end, however it ends."""
        asked = {"arguments": arguments, "death": None if death is None else _plain(death)}
        if self._server.stdin is None or self._server.stdout is None:
            raise RuntimeError("the process that runs commands has no pipes")
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that runs commands ended at: evolve {spelled(arguments)}")
        status, stdout, stderr = json.loads(answer)
        return Ended(f"evolve {spelled(arguments)}", status, stdout, stderr)


def _plain(death: Death) -> dict[str, object]:
    return {**asdict(death), "survived": sorted(death.survived)}


def spelled(arguments: Sequence[str]) -> str:
    return " ".join(arguments)
