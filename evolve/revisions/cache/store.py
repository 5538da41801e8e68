"""Where readings lie between runs: a bounded file in the user's own cache directory, shared by all projects.

It is never needed: what cannot be opened, read or written is as good as empty, and what was damaged is found out by its
checksum. Values are data, never code; the directory is the user's own, and no checkout can bring one along.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

MOST_BYTES = 64 * 2**20
_FILE = "readings-1.sqlite3"
_CHECK_BYTES = 16
_WAIT_SECONDS = 0.5  # for another process that is writing
_DAY = 86_400
_AT_ONCE = 500  # keys in one query; SQLite takes 999 at least
_TABLE = """
    CREATE TABLE IF NOT EXISTS readings (
        key BLOB PRIMARY KEY, kind TEXT NOT NULL, used INTEGER NOT NULL, value BLOB NOT NULL
    )
"""


def cache_directory(environment: Mapping[str, str]) -> Path | None:
    """EVOLVE_CACHE_DIR, or `evolve` in the user's cache directory; None where the user has no home."""
    own = environment.get("EVOLVE_CACHE_DIR")
    if own:
        return Path(own).absolute()
    shared = environment.get("XDG_CACHE_HOME", "")
    with suppress(RuntimeError):
        return (Path(shared) if Path(shared).is_absolute() else Path.home() / ".cache") / "evolve"
    return None


class Store:
    """One run's view of the file. Nothing is written before `flush`, and then in one transaction.

    Args:
        directory: made where it is missing.
        most_bytes: of values; beyond it the longest unused go.
    """

    def __init__(self, directory: Path, most_bytes: int = MOST_BYTES) -> None:
        self._file = directory / _FILE
        self._most_bytes = most_bytes
        self._new: dict[bytes, tuple[str, bytes]] = {}
        self._used: set[bytes] = set()
        self._connection = self._open()

    def kinds(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """The kind of each key that is there."""
        found = {key: self._new[key][0] for key in keys if key in self._new}
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            places = ", ".join("?" * len(some))
            rows = self._ask(f"SELECT key, kind FROM readings WHERE key IN ({places})", some)  # noqa: S608  # question marks
            found.update({key: str(kind) for key, kind in rows if isinstance(key, bytes)})
        return found

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, if it is there and whole."""
        if key in self._new:
            return self._new[key][1]
        for (value,) in self._ask("SELECT value FROM readings WHERE key = ?", [key]):
            if isinstance(value, bytes) and value[:_CHECK_BYTES] == _check(key, value[_CHECK_BYTES:]):
                self._used.add(key)
                with suppress(zlib.error):
                    return zlib.decompress(value[_CHECK_BYTES:])
        return None

    def put(self, key: bytes, kind: str, value: bytes) -> None:
        self._new[key] = (kind, value)

    def forget(self) -> None:
        """Write nothing of what is new."""
        self._new.clear()

    def flush(self) -> None:
        """Write what is new, and let go of what was not used for longest where that makes it too much."""
        now = int(time.time())
        if self._connection is None or not (self._new or self._used):
            return
        rows = []
        for key, (kind, value) in self._new.items():
            packed = zlib.compress(value, 1)
            rows.append((key, kind, now, _check(key, packed) + packed))
        self._new.clear()
        try:
            if rows:
                # Losing the last run's readings with the machine's power costs time only.
                self._connection.execute("PRAGMA synchronous = OFF")
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute(_TABLE)
                self._connection.executemany("INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?)", rows)
                self._evict()
            aged = [(now, key, now - _DAY) for key in self._used]
            self._connection.executemany("UPDATE readings SET used = ? WHERE key = ? AND used < ?", aged)
            self._used.clear()
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._give_up(error)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _evict(self) -> None:
        total = next(iter(self._ask("SELECT coalesce(sum(length(value)), 0) FROM readings", [])), (0,))[0]
        if not isinstance(total, int) or total <= self._most_bytes:
            return
        left, gone = total, []
        for key, size in self._ask("SELECT key, length(value) FROM readings ORDER BY used, rowid", []):
            if left <= self._most_bytes * 3 // 4:
                break
            gone.append((key,))
            left -= int(str(size))
        if self._connection is not None:
            self._connection.executemany("DELETE FROM readings WHERE key = ?", gone)

    def _open(self) -> sqlite3.Connection | None:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return sqlite3.connect(self._file, timeout=_WAIT_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error):
            return None

    def _ask(self, sql: str, parameters: Iterable[object]) -> list[tuple[object, ...]]:
        if self._connection is None:
            return []
        try:
            return self._connection.execute(sql, list(parameters)).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._give_up(error)
            return []

    def _give_up(self, error: sqlite3.Error | UnicodeDecodeError) -> None:
        """Do without it; a file that is no database any more makes room for a new one."""
        if isinstance(error, sqlite3.OperationalError) and "no such table" in str(error):
            return
        self.close()
        if not isinstance(error, sqlite3.OperationalError):  # which is a lock, or a full disk
            with suppress(OSError):
                os.unlink(self._file)  # noqa: PTH108  # what a Path would do more is in the way of nothing


def _check(key: bytes, packed: bytes) -> bytes:
    return blake2b(key + packed, digest_size=_CHECK_BYTES).digest()
