"""Git in a test's own repository; a machine without git skips the test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(directory: Path, *arguments: str) -> str:
    """What git writes on stdout; it must succeed."""
    program = shutil.which("git")
    if program is None:
        pytest.skip("there is no git on the PATH")
    done = subprocess.run(
        [program, *_IDENTITY, *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout
