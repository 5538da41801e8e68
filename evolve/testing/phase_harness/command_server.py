"""Imports evolve once, then runs a command for each line of its input, each in a process forked off for it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
from typing import IO, Any

# What commands import by themselves, here so that it is done once.
_AHEAD = (
    "alembic.command",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "evolve.app.advance_change",
    "evolve.app.change_status",
    "evolve.app.brown_out",
    "evolve.app.plan_change",
    "evolve.app.run_backfill",
    "evolve.app.tripwire",
    "evolve.app.undo_change",
    "evolve.app.upgrade",
    "evolve.cli.advance",
    "evolve.cli.backfill",
    "evolve.cli.brown_out",
    "evolve.cli.downgrade",
    "evolve.cli.plan",
    "evolve.cli.status",
    "evolve.cli.tripwire",
    "evolve.cli.undo",
    "evolve.lint.rules",
    "evolve.revisions.run",
    "evolve.revisions.writer",
)


def main() -> None:
    for name in _AHEAD:
        with contextlib.suppress(ImportError):  # then the command that needs it says so
            importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            status = _run(asked, stdout, stderr)
            answer = [status, _read(stdout), _read(stderr)]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _run(asked: dict[str, Any], stdout: IO[str], stderr: IO[str]) -> int:
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        os._exit(_command(asked))
    _, ended = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(ended)


def _command(asked: dict[str, Any]) -> int:
    from evolve.cli import main as evolve
    from evolve.testing.phase_harness import dying

    sys.argv = ["evolve", *asked["arguments"]]
    if asked["death"] is not None:
        dying.arm(**asked["death"])
    try:
        evolve()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _read(stream: IO[str]) -> str:
    stream.seek(0)
    return stream.read()


if __name__ == "__main__":
    main()
