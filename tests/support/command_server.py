"""Imports evolve once, then runs each command or program that is asked for in a process forked off for it.

Its one argument is the number of a socket. A message there is a command, with five files: standard input, output and
error of the command, its folder, and the write end of a pipe that says how it ended.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import evolve.app
import evolve.cli

# What commands import by themselves; here once for all of a test run.
_AHEAD = (
    "alembic.command",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.orm",
    "evolve.lint.rules",
    "evolve.revisions.read",
    "evolve.revisions.run",
    "evolve.revisions.writer",
    "evolve.sql.parse",
    *(
        f"{package.__name__}.{module.name}"
        for package in (evolve.cli, evolve.app)
        for module in pkgutil.iter_modules(package.__path__)
        if module.name not in ("lsp", "demo")
    ),
)
_LARGEST = 1 << 20  # bytes of a message


def main() -> None:
    del sys.path[0]  # this file's folder, which no command sees
    for name in _AHEAD:
        with contextlib.suppress(ImportError):  # then the command that needs it says so
            importlib.import_module(name)
    gc.freeze()  # what is there stays, and is shared by all that are forked off
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody needs to wait for those that wait
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        while True:
            message, files, _, _ = socket.recv_fds(asked, _LARGEST, 5)
            if not message:
                return
            if os.fork() == 0:
                asked.close()
                _wait_for(json.loads(message), files)
            for file in files:
                os.close(file)


def _wait_for(asked: dict[str, Any], files: list[int]) -> None:
    """Say which process the command is, and how it ended: commands may run at once, so the server does not wait."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _become(asked, files)
    for file in files[:4]:
        os.close(file)
    os.write(files[4], struct.pack("i", pid))
    _, status = os.waitpid(pid, 0)
    os.write(files[4], struct.pack("i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(asked: dict[str, Any], files: list[int]) -> None:
    """Be the process of that command, to its end."""
    status = 1
    try:
        for number in range(3):
            os.dup2(files[number], number)
        os.fchdir(files[3])
        for file in files:
            os.close(file)
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = ["evolve", *asked["arguments"]]
        sys.path[:0] = [*asked["path"], str(Path.cwd())]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if asked["code"] is None:
            evolve.cli.main()
        else:
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(compile(asked["code"], "<code>", "exec"), vars(main))  # noqa: S102
            status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # as Python does at the end of a process
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
