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
    Its process is forked off one that has imported evolve: Python and the libraries take half a second to start, and
    a test run has thousands of commands. What changes how Python starts is started anew.

    Args:
        through: a program, with its arguments, that starts it.
    """
    command = [*through, sys.executable, "-m", "evolve", *map(str, arguments)]
    if not through and not any(name.startswith(_OF_THE_START) for name in env or ()):
        return _forked(command, [*map(str, arguments)], cwd, environment(env), timeout, stdin)
    return subprocess.run(
        command, cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=timeout, input=stdin
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


def _forked(
    command: list[str],
    arguments: list[str],
    cwd: Path,
    variables: Mapping[str, str],
    timeout: float,
    stdin: str,
) -> subprocess.CompletedProcess[str]:
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
    ):
        given.write(stdin)
        given.seek(0)
        folder = os.open(cwd, os.O_RDONLY | os.O_DIRECTORY)
        reader, writer = os.pipe()
        try:
            asked = json.dumps({"arguments": arguments, "environment": dict(variables)})
            files = [given.fileno(), stdout.fileno(), stderr.fileno(), folder, writer]
            socket.send_fds(_server(), [asked.encode()], files)
            os.close(writer)
            pid = _number(reader)
            if not select.select([reader], [], [], timeout)[0]:
                os.kill(pid, signal.SIGKILL)
                _number(reader)
                raise subprocess.TimeoutExpired(command, timeout)
            status = _number(reader)
        finally:
            os.close(reader)
            os.close(folder)
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(command, status, stdout.read(), stderr.read())


def _number(reader: int) -> int:
    packed = os.read(reader, 4)
    if len(packed) < 4:
        raise RuntimeError("the process that commands are forked off has ended")
    return int(struct.unpack("i", packed)[0])
