"""Commands beside the road, killed at every moment, or with their session ended at every statement."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from evolve.cli import evolve as command_line
from evolve.testing.phase_harness.commands import Commands, Death, Ended


def killed_everywhere(commands: Commands, *words: str) -> Iterator[Ended]:
    """Each death of the command, at the first moment at which none has died before, and at last its end."""
    survived: set[str] = set()
    while (ended := commands.run(*words, death=Death(frozenset(survived)))).killed:
        survived.add(ended.moment)
        assert len(survived) < 100, f"there is always one more moment, such as: {ended.moment}"
        yield ended
    assert survived, f"nothing was written by {words}"
    done = "is at its end" in ended.stderr  # who died last had written everything
    assert done or ended.status == 0, (sorted(survived), ended.stdout + ended.stderr)
    yield ended


def without_session(
    patch: pytest.MonkeyPatch, root: Path, application: str, number: int, *words: str
) -> Result | None:
    """The command, whose session of that name the server ends before the statement of that number; None where it has
    fewer.
    """
    execute: Any = psycopg.Cursor.execute
    sent = 0

    def losing(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal sent
        if self.connection.info.get_parameters().get("application_name") == application:
            sent += 1
            if sent == number:
                _end(self.connection)
        return execute(self, *arguments, **options)

    def _end(connection: Any) -> None:
        with psycopg.connect(
            "", **{**connection.info.get_parameters(), "application_name": "judge"}, autocommit=True
        ) as judge:
            execute(judge.cursor(), "SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))

    with patch.context() as patched, chdir(root):
        patched.setattr(psycopg.Cursor, "execute", losing)
        done = CliRunner(env={"NO_COLOR": "1"}).invoke(command_line, words, standalone_mode=False)
    return done if sent >= number else None


def no_guard_is_left(root: Path) -> None:
    """Wait until whoever gives back what a dead brown-out of the project has hidden has done so."""
    ending = time.monotonic() + 30
    while any(_guards(root)):
        assert time.monotonic() < ending
        time.sleep(0.05)


def _guards(root: Path) -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            guards = b"evolve.app.brown_out_guard" in (process / "cmdline").read_bytes()
            if guards and (process / "cwd").resolve() == root.resolve():
                yield process
