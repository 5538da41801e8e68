"""What a revision may not do while it is read: reach a server, start a program, change a file, or wait.

A revision is code, and reading one runs it. It may open a second engine from the environment's database URL, post to a
chat, write a dump or sleep; none of that belongs to finding out what it would send through Alembic.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

import sqlalchemy
import sqlalchemy.engine
import sqlalchemy.engine.create
from sqlalchemy import Engine, event

from evolve.revisions.patches import Patches
from evolve.revisions.stubs import Stub
from evolve.revisions.watchdog import Watcher

_EVOLVE = str(Path(__file__).parents[1])
_FORBIDDEN = frozenset(
    {
        "socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
        "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
        "os.forkpty", "os.kill", "os.killpg", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate",
        "os.link", "os.symlink", "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr",
        "pty.spawn", "signal.pthread_kill", "resource.setrlimit", "resource.prlimit", "syslog.syslog",
    }
)  # fmt: skip
# A library may have reasons of its own; the application and its revisions have none.
_FORBIDDEN_TO_OWN = frozenset(
    {
        "socket.bind", "ctypes.dlopen", "ctypes.dlsym", "ctypes.dlsym/handle", "ctypes.string_at", "ctypes.cdata",
        "ctypes.cdata/buffer", "sys.addaudithook", "sys.settrace", "sys.setprofile", "sys._current_frames",
        "sys.remote_exec", "code.__new__", "gc.get_objects",
    }
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
DRIVERS = frozenset({"psycopg2", "psycopg", "asyncpg", "pg8000"})


class SideEffect(RuntimeError):
    """A revision tried to act on the world while it was only being read."""


class _Guarded(threading.local):
    active = False
    own: Callable[[str], bool] = staticmethod(lambda _: False)
    report: Callable[[str], None] = staticmethod(lambda _: None)


_guarded = _Guarded()
_hook_installed = False


def _audit(name: str, arguments: tuple[object, ...]) -> None:
    if not _guarded.active:
        return
    if name in _FORBIDDEN:
        refuse(f"{name} {_shown(arguments)}".rstrip())
    if name == "open" and _writes(arguments):
        refuse(f"writing to {arguments[0]!r}")
    if name == "sqlite3.connect" and arguments[:1] != (":memory:",):
        refuse(f"opening the database {arguments[0]!r}")
    if name in _FORBIDDEN_TO_OWN and _asked_by_own():
        refuse(f"{name} {_shown(arguments)}".rstrip())


def refuse(what: str) -> NoReturn:
    """Report what a revision tries, which may swallow the exception.

    Raises:
        SideEffect: always.
    """
    active, _guarded.active = _guarded.active, False
    try:
        _guarded.report(what)
    finally:
        _guarded.active = active
    message = f"evolve only reads this revision and lets it do nothing else: {what}"
    raise SideEffect(message)


def _refuse_to_end(name: str, *_: object) -> NoReturn:
    refuse(f"os.{name}")


def _asked_by_own() -> bool:
    """Whether the nearest code outside the standard library is the project's."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001  # the documented way to one's own stack
    while frame is not None:
        filename = frame.f_code.co_filename
        if _guarded.own(filename):
            return True
        if "-packages" in filename or filename.startswith(_EVOLVE):
            return False
        frame = frame.f_back
    return False


def _writes(arguments: tuple[object, ...]) -> bool:
    path, mode, flags = (*arguments, None, None, None)[:3]
    if path in ("/dev/null", b"/dev/null"):
        return False
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return not isinstance(path, int) and isinstance(flags, int) and bool(flags & _WRITING)


def _shown(arguments: tuple[object, ...]) -> str:
    return ", ".join(
        repr(argument) for argument in arguments if isinstance(argument, str | tuple | list | bytes)
    )[:200]


class Guard:
    """Holds in the thread that enters it, and there only.

    Args:
        engine: makes the recording engine that a revision gets when it asks SQLAlchemy for an engine of its own.
        own: whether a file is the project's.
        report: told of everything that is refused.
    """

    def __init__(
        self, engine: Callable[[], Engine], own: Callable[[str], bool], report: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._own = own
        self._report = report
        self._patches = Patches()
        self._thread = threading.get_ident()
        self._really_start = threading.Thread.start

    def __enter__(self) -> Guard:
        global _hook_installed  # an audit hook can be added once and never taken out
        if not _hook_installed:
            sys.addaudithook(_audit)
            _hook_installed = True
        for name in DRIVERS:
            module = sys.modules.get(name)
            if module is not None:
                self.disarm(module)
        self._replace(time, "sleep", lambda *_: None)
        for module in (os, sys.modules.get("posix"), sys.modules.get("nt")):
            for name in ("_exit", "abort"):
                if hasattr(module, name):
                    self._replace(module, name, partial(_refuse_to_end, name))
        self._replace(os, "write", self._write)
        self._replace(threading.Thread, "start", self._start_thread)
        self._replace(atexit, "register", lambda function, *_, **__: function)
        for owner in (sqlalchemy, sqlalchemy.engine, sqlalchemy.engine.create):
            self._replace_engine(owner)
            self._replace_engine_from_config(owner)
        # A log is kept of what a revision does, and it does nothing.
        self._patches.set(logging.FileHandler, "_open", lambda _: io.StringIO())
        event.listen(Engine, "do_connect", self._refuse_connection)
        _guarded.own, _guarded.report, _guarded.active = self._own, self._report, True
        return self

    def __exit__(self, *_: object) -> None:
        _guarded.active = False
        event.remove(Engine, "do_connect", self._refuse_connection)
        self._patches.__exit__(None, None, None)

    def disarm(self, module: ModuleType) -> None:
        """Take `connect` away from a driver; whoever imports one later calls this too."""
        owners = [module, getattr(module, "Connection", None), getattr(module, "AsyncConnection", None)]
        for owner in owners:
            if owner is not None and callable(getattr(owner, "connect", None)):
                self._replace(owner, "connect", self._refuse)

    def _replace(self, owner: object, name: str, replacement: Callable[..., object]) -> None:
        original: Callable[..., object] = getattr(owner, name)

        def chosen(*args: object, **kwargs: object) -> object:
            run = replacement if threading.get_ident() == self._thread else original
            return run(*args, **kwargs)

        self._patches.set(
            owner,
            name,
            chosen if owner is threading.Thread or not isinstance(owner, type) else staticmethod(chosen),
        )

    def _replace_engine(self, owner: ModuleType) -> None:
        original: Callable[..., object] = owner.create_engine

        def create(url: object = None, *args: object, **kwargs: object) -> object:
            if isinstance(url, Stub) or str(url).startswith("postgres"):
                return self._engine()
            return original(url, *args, **kwargs)

        self._replace(owner, "create_engine", create)

    def _replace_engine_from_config(self, owner: ModuleType) -> None:
        original: Callable[..., object] = owner.engine_from_config

        def create(
            configuration: Mapping[str, object], prefix: str = "sqlalchemy.", **kwargs: object
        ) -> object:
            if f"{prefix}url" not in configuration:  # env.py sets it, from where only it knows
                return self._engine()
            return original(configuration, prefix, **kwargs)

        self._replace(owner, "engine_from_config", create)

    def _write(self, descriptor: int, data: bytes) -> int:
        """What goes to the command's own output is swallowed, as with `print`; files cannot be opened to write to."""
        return len(data) if descriptor in (1, 2) else refuse(f"os.write to descriptor {descriptor}")

    def _start_thread(self, thread: threading.Thread) -> None:
        if not isinstance(thread, Watcher):
            refuse(f"starting the thread {thread.name!r}")
        self._really_start(thread)

    def _refuse(self, *_: object, **__: object) -> object:
        refuse("connecting to a server")

    def _refuse_connection(self, *_: object) -> None:
        if threading.get_ident() == self._thread:
            self._refuse()
