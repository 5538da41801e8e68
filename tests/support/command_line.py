"""Run `evolve` as a user does: its own process, its real exit status, stdout and stderr apart."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# Readings of one test run; the user's own stay as they are.
CACHE = tempfile.TemporaryDirectory(prefix="evolve-cache-")

# Before a command: root like anybody else, for whom a folder can be read-only.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def evolve(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    through: Sequence[str] = (),
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """
    Args:
        through: a program, with its arguments, that starts it.
    """
    return subprocess.run(
        [*through, sys.executable, "-m", "evolve", *map(str, arguments)],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=timeout,
        input=stdin,
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
    return {**ours, "NO_COLOR": "1", "EVOLVE_CACHE_DIR": CACHE.name, **(extra or {})}
