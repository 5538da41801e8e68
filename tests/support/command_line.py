"""Run `evolve` as a user does: its own process, its real exit status, stdout and stderr apart."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from support.memory import FOLDER

# Readings of one test run; the user's own stay as they are.
CACHE = tempfile.TemporaryDirectory(prefix="evolve-cache-", dir=FOLDER)

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
    Its process is forked off one that has imported evolve: Python and the libraries take half a second to start, and
    a test run has thousands of commands. What changes how Python starts is started anew.

    Args:
        through: a program, with its arguments, that starts it.
    """
    command = [*through, sys.executable, "-m", "evolve", *map(str, arguments)]
    if not through and not any(name.startswith(_OF_THE_START) for name in env or ()):
        return _forked(command, _Asked([*map(str, arguments)], environment(env)), cwd, timeout, stdin)
    return subprocess.run(
        command, cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=timeout, input=stdin
    )


def python(
    code: str,
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    path: Sequence[Path] = (),
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """`python -c code` with those arguments, forked off the same process.

    Args:
        env: its whole environment; None is that of `evolve`.
        path: folders to import from, before all others.
    """
    asked = _Asked([*map(str, arguments)], environment() if env is None else env, code, [*map(str, path)])
    return _forked([sys.executable, "-c", code, *asked.arguments], asked, cwd, timeout, "")


def module(
    name: str,
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str],
    path: Sequence[Path] = (),
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """`python -m name`, the same way."""
    code = f"import runpy; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
    return python(code, *arguments, cwd=cwd, env=env, path=path, timeout=timeout)


class Running:
    """A process that was forked off; what tests use of `subprocess.Popen`.

    Attributes:
        returncode: None until it has ended and was asked for.
    """

    def __init__(self, command: list[str], asked: _Asked, cwd: Path) -> None:
        self.args = command
        self.returncode: int | None = None
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        self.stdout, self.stderr = os.fdopen(out), os.fdopen(err)
        self._told: tuple[str, str] | None = None
        with Path(os.devnull).open() as nothing:
            self._status, self.pid = _send(asked, cwd, [nothing.fileno(), its_out, its_err])
        os.close(its_out)
        os.close(its_err)

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends by itself just now
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Its output to the end, and what it wrote to stderr."""
        if self._told is None:
            until = None if timeout is None else time.monotonic() + timeout
            told = ["", ""]

            def read(number: int, stream: IO[str]) -> None:
                told[number] = stream.read()

            readers = [
                threading.Thread(target=read, args=each, daemon=True)
                for each in enumerate((self.stdout, self.stderr))
            ]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join(None if until is None else max(0.0, until - time.monotonic()))
                if reader.is_alive():
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.wait()
            self.stdout.close()
            self.stderr.close()
            self._told = (told[0], told[1])
        return self._told

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            self.returncode = _number(self._status)
            os.close(self._status)
        return self.returncode


def start_evolve(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Running:
    """The same as `evolve`, running: for tests that kill it."""
    words = [*map(str, arguments)]
    return Running([sys.executable, "-m", "evolve", *words], _Asked(words, environment(env)), cwd)


def start_python(
    code: str, *arguments: str | Path, cwd: Path, env: Mapping[str, str], path: Sequence[Path] = ()
) -> Running:
    """The same as `python`, running."""
    asked = _Asked([*map(str, arguments)], env, code, [*map(str, path)])
    return Running([sys.executable, "-c", code, *asked.arguments], asked, cwd)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would make evolve answer differently on another machine."""
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("PG", "EVOLVE_", "COLUMNS"))
    }
    return {**ours, "NO_COLOR": "1", "EVOLVE_CACHE_DIR": CACHE.name, **(extra or {})}


# Variables that Python looks at once, when it starts.
_OF_THE_START = ("PYTHON", "LANG", "LC_", "TZ", "LD_")

_servers: dict[int, socket.socket] = {}


def _server() -> socket.socket:
    """The way to this process's own server of commands, which ends when that is closed."""
    if os.getpid() not in _servers:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            process = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("command_server.py"), str(its.fileno())],
                env=environment(),
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        _servers[os.getpid()] = ours

        def end() -> None:
            ours.close()
            process.wait(10)

        atexit.register(end)
    return _servers[os.getpid()]


@dataclass(frozen=True)
class _Asked:
    """
    Args:
        code: None is `evolve`.
        path: before all other folders to import from.
    """

    arguments: list[str]
    environment: Mapping[str, str]
    code: str | None = None
    path: list[str] = field(default_factory=list)


def _forked(
    command: list[str], asked: _Asked, cwd: Path, timeout: float, stdin: str
) -> subprocess.CompletedProcess[str]:
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
    ):
        given.write(stdin)
        given.seek(0)
        reader, pid = _send(asked, cwd, [given.fileno(), stdout.fileno(), stderr.fileno()])
        try:
            if not select.select([reader], [], [], timeout)[0]:
                os.kill(pid, signal.SIGKILL)
                _number(reader)
                raise subprocess.TimeoutExpired(command, timeout)
            status = _number(reader)
        finally:
            os.close(reader)
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(command, status, stdout.read(), stderr.read())


def _send(asked: _Asked, cwd: Path, files: list[int]) -> tuple[int, int]:
    """Start it; the file to read its exit status from, and its id."""
    folder = os.open(cwd, os.O_RDONLY | os.O_DIRECTORY)
    reader, writer = os.pipe()
    try:
        message = json.dumps({**vars(asked), "environment": dict(asked.environment)})
        socket.send_fds(_server(), [message.encode()], [*files, folder, writer])
        os.close(writer)
        return reader, _number(reader)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(folder)


def _number(reader: int) -> int:
    packed = os.read(reader, 4)
    if len(packed) < 4:
        raise RuntimeError("the process that commands are forked off has ended")
    return int(struct.unpack("i", packed)[0])
