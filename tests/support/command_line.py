"""Run `evolve` as a user does: its own process, its real exit status, stdout and stderr apart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def evolve(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evolve", *map(str, arguments)],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def start_evolve(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """The same, running: for tests that kill it."""
    return subprocess.Popen(
        [sys.executable, "-m", "evolve", *map(str, arguments)],
        cwd=cwd,
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would make evolve answer differently on another machine."""
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("PG", "EVOLVE_", "COLUMNS"))
    }
    return {**ours, "NO_COLOR": "1", **(extra or {})}
