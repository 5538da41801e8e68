"""Files that are either whole or not there: what a crash in the middle of writing must not break."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from evolve.errors import Misuse

_PREFIX = (
    ".evolve-"  # of files being written; Alembic reads none that begins with a dot and does not end in .py
)
_SUFFIX = ".part"


class CannotWrite(Misuse):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f'cannot write "{path}": {reason}',
            why="nothing was changed",
            fix=f"make {path.parent} a directory that you may write to",
        )


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a crash leaves the old file or the new one, never half of it.

    A file that is there keeps its mode; a link stays one, and what it leads to is written.

    Raises:
        CannotWrite: the directory is missing, read-only, or something else stands in the way.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path = path.resolve()
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
        for leftover in path.parent.glob(f"{_PREFIX}*{_SUFFIX}"):
            _clear_away(leftover)
        descriptor, temporary = _begin(path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
                temporary.chmod(mode)  # mkstemp gives nobody else a right
                temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise CannotWrite(path, _reason(error)) from error


def refuse_unwritable(directory: Path) -> None:
    """Raise `CannotWrite` where a file could not be made in `directory`, before anything is written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=directory)
        os.close(descriptor)
        Path(name).unlink()
    except OSError as error:
        raise CannotWrite(directory / "…", _reason(error)) from error


def _begin(directory: Path) -> tuple[int, Path]:
    """An empty file, open and locked, and its path."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=directory)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # somebody took it for a leftover before it was locked


def _clear_away(leftover: Path) -> None:
    """Remove what a crash left behind; who still writes holds its lock, which ends with the process."""
    with suppress(OSError), leftover.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        leftover.unlink()


def _reason(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        return f"{error.filename} is a file, not a directory"
    return error.strerror or str(error)


def _umask() -> int:
    # The only way to read it is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
