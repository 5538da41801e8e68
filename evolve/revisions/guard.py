"""What a revision may not do while it is read: reach a server, start a program, change a file, or wait.

A revision is code, and reading one runs it. It may open a second engine from the environment's database URL, post to a
chat, write a dump or sleep; none of that belongs to finding out what it would send through Alembic.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType

import sqlalchemy
import sqlalchemy.engine
import sqlalchemy.engine.create
from sqlalchemy import Engine, event

from evolve.revisions.patches import Patches
from evolve.revisions.stubs import Stub

_FORBIDDEN = frozenset(
    {
        "socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
        "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty",
        "os.kill", "os.killpg", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link",
        "os.symlink", "os.chmod", "os.chown", "os.utime",
    }
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
DRIVERS = frozenset({"psycopg2", "psycopg", "asyncpg", "pg8000"})


class SideEffect(RuntimeError):
    """A revision tried to act on the world while it was only being read."""


class _Guarded(threading.local):
    active = False


_guarded = _Guarded()
_hook_installed = False


def _audit(name: str, arguments: tuple[object, ...]) -> None:
    if not _guarded.active:
        return
    if name in _FORBIDDEN:
        message = f"evolve only reads this revision and lets it do nothing else: {name} {_shown(arguments)}"
        raise SideEffect(message)
    if name == "open" and _writes(arguments):
        message = f"evolve only reads this revision: it may not write to {arguments[0]!r}"
        raise SideEffect(message)
    if name == "sqlite3.connect" and arguments[:1] != (":memory:",):
        message = f"evolve only reads this revision: it may not open the database {arguments[0]!r}"
        raise SideEffect(message)


def _writes(arguments: tuple[object, ...]) -> bool:
    path, mode, flags = (*arguments, None, None, None)[:3]
    if isinstance(path, int) or path in ("/dev/null", b"/dev/null"):
        return False
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def _shown(arguments: tuple[object, ...]) -> str:
    return ", ".join(
        repr(argument) for argument in arguments if isinstance(argument, str | tuple | list | bytes)
    )[:200]


class Guard:
    """Holds in the thread that enters it, and there only.

    Args:
        engine: makes the recording engine that a revision gets when it asks SQLAlchemy for an engine of its own.
    """

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._patches = Patches()
        self._thread = threading.get_ident()

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
        for owner in (sqlalchemy, sqlalchemy.engine, sqlalchemy.engine.create):
            self._replace_engine(owner)
        event.listen(Engine, "do_connect", self._refuse_connection)
        _guarded.active = True
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

        self._patches.set(owner, name, staticmethod(chosen) if isinstance(owner, type) else chosen)

    def _replace_engine(self, owner: ModuleType) -> None:
        original: Callable[..., object] = owner.create_engine

        def create(url: object = None, *args: object, **kwargs: object) -> object:
            if isinstance(url, Stub) or str(url).startswith("postgres"):
                return self._engine()
            return original(url, *args, **kwargs)

        self._replace(owner, "create_engine", create)

    def _refuse(self, *_: object, **__: object) -> object:
        message = "evolve only reads this revision: it may not connect to a server"
        raise SideEffect(message)

    def _refuse_connection(self, *_: object) -> None:
        if threading.get_ident() == self._thread:
            self._refuse()
