"""Who owns a scratch server: a folder per server, locked while its owner lives; and what was left behind.

    <temporary folder>/evolve-scratch-<user id>/
        server-3f9c2a71/
            owner.lock    locked by the owner (the system lets go of the lock when it dies, however it dies)
            owner.json    what to remove when the owner is gone
            data/ log     the server's own, with the local and embedded providers

The lock decides, not the process id: ids are used again, and containers may share the folder but not the ids.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from evolve.errors import Misuse

# A folder that never got its final name belongs to a start that died within its first milliseconds.
_ABANDONED_SECONDS = 3600


class UnsafeFolder(Misuse):
    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f'scratch servers cannot live in "{folder}": {reason}',
            why="whoever owns that folder could swap the files of a running server",
            fix=f"remove {folder}, or point TMPDIR elsewhere",
        )


class NoFolder(Misuse):
    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"there is no temporary folder for a scratch server: {error.strerror or error}",
            fix="point TMPDIR at a folder that you may write to",
        )


@dataclass(frozen=True, slots=True)
class Record:
    """What is needed to remove a server whose owner is gone.

    Args:
        provider: "docker", "local" or "embedded".
        pid: the owner's process id, for people who look; the lock says whether it lives.
        owner_started: when the owner made the server, ISO 8601 in UTC.
        kept: left up on purpose; never removed while it runs.
    """

    provider: str
    pid: int
    owner_started: str
    kept: bool = False


class Claim:
    """A server's folder, and the lock on it that this process holds until `release` or its death."""

    def __init__(self, folder: Path, lock: IO[bytes], provider: str) -> None:
        self.folder = folder
        self._lock = lock
        self._record = Record(provider, os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"))
        self._write()

    def keep(self) -> None:
        """Mark the server as left up on purpose, and let go of it."""
        self._record = Record(self._record.provider, self._record.pid, self._record.owner_started, kept=True)
        self._write()
        self._lock.close()

    def release(self) -> None:
        """Remove the folder; the server in it has been stopped."""
        remove(self.folder)
        self._lock.close()

    def _write(self) -> None:
        target = self.folder / "owner.json"
        draft = self.folder / "owner.json.new"
        draft.write_text(json.dumps(asdict(self._record)))
        draft.replace(target)


def claim(provider: str) -> Claim:
    """Make a folder for a new server and lock it."""
    base = base_folder()
    token = secrets.token_hex(4)
    draft = base / f"new-{token}"
    draft.mkdir()
    draft.chmod(0o711)  # whatever the umask says: see base_folder
    lock = (draft / "owner.lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Only now may a reaper see it: an unlocked "server-…" is one whose owner is gone.
    folder = draft.rename(base / f"server-{token}")
    return Claim(folder, lock, provider)


@contextlib.contextmanager
def abandoned() -> Iterator[list[tuple[Path, Record | None]]]:
    """The servers whose owner is gone, with their records (None where it died before it wrote one).

    They stay locked inside the block, so that two processes that look at once do not both remove one. Servers
    that are kept on purpose are among them: the caller asks the record.
    """
    base = base_folder()
    with contextlib.ExitStack() as locks:
        found: list[tuple[Path, Record | None]] = []
        for folder in sorted(base.iterdir()):
            if folder.name.startswith("new-"):
                _remove_old_draft(folder)
            elif folder.name.startswith("server-") and _try_lock(folder, locks):
                found.append((folder, _read(folder)))
        yield found


def remove(folder: Path) -> None:
    """Remove the folder of a server that has been stopped."""
    shutil.rmtree(folder, ignore_errors=True)


def base_folder() -> Path:
    """The folder of all scratch servers of this user; made where it is missing.

    Raises:
        UnsafeFolder: somebody else made it, or it is a link.
        NoFolder: it cannot be made.
    """
    try:
        base = Path(tempfile.gettempdir()) / f"evolve-scratch-{os.geteuid()}"
        with contextlib.suppress(FileExistsError):
            base.mkdir()
    except OSError as error:
        raise NoFolder(error) from error
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeFolder(base, "it is not a folder")
    if found.st_uid != os.geteuid():
        raise UnsafeFolder(base, f"it belongs to user {found.st_uid}")
    # As root the server runs as another user, who must be able to reach its own folder below.
    base.chmod(0o711)
    return base


def _try_lock(folder: Path, locks: contextlib.ExitStack) -> bool:
    """True if nobody holds the lock of `folder`; it is then held by `locks`."""
    try:
        lock = (folder / "owner.lock").open("rb+")
    except FileNotFoundError:
        return folder.is_dir()  # half removed by a reaper that died
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return False
    locks.callback(lock.close)
    return folder.is_dir()  # another process may have removed it before the lock was ours


def _read(folder: Path) -> Record | None:
    try:
        found = json.loads((folder / "owner.json").read_text())
        return Record(**found)
    except (OSError, ValueError, TypeError):
        return None


def _remove_old_draft(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
