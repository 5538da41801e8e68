"""Where servers and files of tests lie: in memory, where a machine has enough of it.

On a disk that others use too a fresh database takes a fifth of a second, in memory a hundredth, and a run makes
thousands. Who sets TMPDIR decides for himself, and benchmarks keep to the disk, which is part of what they measure.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108  # not a place to guess names in: everything below it is made by tempfile
_NEEDED = 8 << 30  # bytes; a run takes a tenth of that


def _folder() -> str:
    if (
        "TMPDIR" in os.environ
        or any("benchmarks" in word for word in sys.argv)
        or not os.access(_MEMORY, os.W_OK)
    ):
        return tempfile.gettempdir()
    there = os.statvfs(_MEMORY)
    # Programs of a server are copied there, where root starts it.
    if there.f_flag & os.ST_NOEXEC or min(there.f_bavail * there.f_frsize, _available()) < _NEEDED:
        return tempfile.gettempdir()
    return str(_MEMORY)


def _available() -> int:
    """Bytes of memory that programs can have."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)


FOLDER = Path(_folder())
os.environ["TMPDIR"] = tempfile.tempdir = str(FOLDER)
