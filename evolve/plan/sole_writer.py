"""One command at a time writes the manifests and revisions of a checkout: two would each name what the other lacks."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from evolve.errors import Refused
from evolve.files import CannotWrite
from evolve.plan.manifest import directory

_NAME = ".writer"
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


class AnotherWriter(Refused):
    def __init__(self, holder: str) -> None:
        super().__init__(
            f"another command writes to this project: {holder or 'it has not said which'}",
            why="each would go on from files that the other is about to change",
            fix="wait for its end, look at what it has done (evolve status), then run this again if it is still needed",
        )


@contextmanager
def sole_writer(script_directory: Path, doing: str, actor: str) -> Iterator[None]:
    """Be the only command that writes manifests and revisions beneath `script_directory`.

    It ends with the process. Where nothing can be written there is nobody to keep out: whatever writes then says so
    itself.

    Args:
        doing: the command, as others are told of it. Nothing secret.

    Raises:
        AnotherWriter: one is at work, in this process or another one of this machine.
        CannotWrite: the file system knows no locks.
    """
    path = directory(script_directory) / _NAME
    descriptor = _taken(path)
    if descriptor is None:
        yield
        return
    try:
        with suppress(OSError):  # of somebody else's, left by a crash: it is locked, and cannot be written
            os.ftruncate(descriptor, 0)
            since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
            os.write(
                descriptor, f"{doing} (pid {os.getpid()}, {actor}, since {since})".encode(errors="replace")
            )
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is locked: who opened it before finds that it is no longer there
        os.close(descriptor)


def _taken(path: Path) -> int | None:
    """The locked file; None where none can be made."""
    while True:
        try:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
            except PermissionError:
                descriptor = os.open(path, os.O_RDONLY | _FLAGS)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        except OSError as error:
            if path.parent.is_dir() and not os.access(
                path.parent, os.W_OK
            ):  # of a file system that is read-only
                return None
            raise CannotWrite(path, error.strerror or str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(path, descriptor):
                return descriptor
        except BlockingIOError as error:
            holder = os.read(descriptor, 1000).decode(errors="replace").strip()
            os.close(descriptor)
            raise AnotherWriter(holder) from error
        except OSError as error:
            os.close(descriptor)
            raise CannotWrite(path, error.strerror or str(error)) from error
        os.close(descriptor)


def _is_there(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False
