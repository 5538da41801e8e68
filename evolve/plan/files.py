"""Files that are either whole or not there: what a crash in the middle of writing must not break."""

from __future__ import annotations

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

    Raises:
        CannotWrite: the directory is missing, read-only, or something else stands in the way.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f"{_PREFIX}*{_SUFFIX}"):
            with suppress(OSError):  # of a crash; another process may be quicker
                leftover.unlink()
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~_umask())  # mkstemp gives nobody else a right
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
