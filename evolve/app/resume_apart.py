"""Go on with a backfill in a process of its own, which outlives whoever asked for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence

from evolve.errors import Refused
from evolve.redaction import shown

SOON = 10.0  # seconds that a caller waits for the process to begin or to give up
_LOOK = 0.1
_LINES = 12
_BUT_FOR_REJECTS = 3  # exit status of a run that is done but for rows it has set aside


class ResumeFailed(Refused):
    def __init__(self, name: str, said: str) -> None:
        super().__init__(
            f'backfill "{name}" could not go on',
            why=said or None,
            fix=f"see it there: evolve backfill resume {name}",
        )


def resume_apart(
    url: str,
    name: str,
    *,
    location: Sequence[str],
    works: Callable[[], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Start `evolve backfill resume`, and see it begin.

    Args:
        url: handed over in the environment, where other users do not see its password; "" leaves PG* to it.
        location: options before the command: where its project and its settings are.
        works: whether somebody is at work on the run.

    Raises:
        ResumeFailed: it has ended with an error before it began; what it said.
    """
    environment = {**os.environ, "NO_COLOR": "1", **({"EVOLVE_DATABASE_URL": url} if url else {})}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "evolve", *location, "backfill", "resume", "--quiet", "--", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
            start_new_session=True,  # a Ctrl-C in our terminal is not meant for it
        )
        threading.Thread(target=process.wait, name="resume", daemon=True).start()
        until = time.monotonic() + SOON
        while process.poll() is None and not works() and time.monotonic() < until:
            sleep(_LOOK)
        if process.poll() not in (None, 0, _BUT_FOR_REJECTS):
            errors.seek(0)
            lines = errors.read().decode(errors="replace").splitlines()
            raise ResumeFailed(name, shown("\n".join(lines[-_LINES:])))
