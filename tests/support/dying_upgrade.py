"""Runs upgrades and downgrades that kill themselves at one boundary: before or after the n-th message that their
connections send. Or one of their sessions is ended there.

A boundary is a statement or a COMMIT, of env.py's connections and of the runner's own alike. As a program, it takes a
project, then on each line of its input a URL, a direction, a target, a number and a side, and answers each with
"killed", "done" or an error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from evolve.app.upgrade import Direction, Observer, Patience, migrate
from evolve.revisions.project import find_project
from evolve.revisions.run import Limits


class Dying:
    """Upgrades of one project, each in a process that is forked off one that has imported everything."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def upgrade(self, url: str, at: int = 0, side: str = "before") -> str:
        """What became of it: "killed", "done", or its error. With `at` 0 it is not killed."""
        return self._run(url, "upgrade", "head", at, side)

    def downgrade(self, url: str, target: str, at: int = 0, side: str = "before") -> str:
        return self._run(url, "downgrade", target, at, side)

    def _run(self, *words: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate(timeout=20)


@contextmanager
def dying(root: Path) -> Iterator[Dying]:
    one = Dying(root)
    try:
        yield one
    finally:
        one.close()


_execute = psycopg.Cursor.execute


def _end_session(one: psycopg.Cursor[tuple[object, ...]] | psycopg.Connection[tuple[object, ...]]) -> None:
    """As an administrator would, and wait until it is gone."""
    connection = one.connection if isinstance(one, psycopg.Cursor) else one
    pid = connection.info.backend_pid
    with psycopg.connect(connection.info.dsn, password=connection.info.password, autocommit=True) as other:
        cursor = other.cursor()
        _execute(cursor, "SELECT pg_terminate_backend(%s, 5000)", (pid,))


def _die_at(at: int, side: str) -> None:
    passed = 0

    def counted(function):  # type: ignore[no-untyped-def]
        def call(*args, **kwargs):  # type: ignore[no-untyped-def]
            nonlocal passed
            if threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)  # who looks at blockers changes nothing
            passed += 1
            mine = passed == at
            if mine and side == "ended":
                _end_session(args[0])
            if mine and side == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **kwargs)
            if mine and side == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    psycopg.Cursor.execute = counted(psycopg.Cursor.execute)  # type: ignore[method-assign]
    psycopg.Connection.commit = counted(psycopg.Connection.commit)  # type: ignore[method-assign]


def _migrate(root: Path, url: str, direction: Direction, target: str) -> None:
    migrate(
        find_project(root),
        url,
        target,
        direction,
        limits=Limits(lock_timeout=500, concurrently_lock_timeout=5_000),
        patience=Patience(wait=10, retries=20, budget=20, first_delay=0.05, longest_delay=0.2),
        observer=Observer(),
        override_url=url,
    )


def _forked(root: Path, url: str, direction: Direction, target: str, at: int, side: str) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _die_at(at, side)
            _migrate(root, url, direction, target)
        except BaseException as error:  # noqa: BLE001  # a fork must never return into its parent's code
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        error = pipe.read()
    _, status = os.waitpid(child, 0)
    return "killed" if os.WIFSIGNALED(status) else error or "done"


if __name__ == "__main__":
    import alembic.command  # noqa: F401
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_forked(Path(sys.argv[1]), *json.loads(line))), flush=True)  # noqa: T201
