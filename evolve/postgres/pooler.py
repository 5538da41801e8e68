"""Tells a pooler that hands out sessions by the transaction: session locks and SET do not hold behind it."""

from __future__ import annotations

from evolve.errors import Misuse
from evolve.postgres.connect import Connection, connect

_LOOKS = 5


class PooledByTransaction(Misuse):
    def __init__(self, pid: int) -> None:
        super().__init__(
            f"the database URL leads to a pooler that hands out sessions by the transaction: two connections had "
            f"session {pid} of the server in turn",
            why="the lock that lets one runner through, and lock_timeout, are the session's: they would hold for "
            "others, and not for us",
            fix="name the server itself in --database-url, by its own host and port (5432, not the pooler's 6432)",
        )


def refuse_pooled(connection: Connection, url: str) -> None:
    """Raise `PooledByTransaction` where `connection` goes through such a pooler; in session mode it may.

    Args:
        connection: to `url`, in autocommit mode.
    """
    pid = shared_session(connection, url)
    if pid is not None:
        raise PooledByTransaction(pid)


def shared_session(connection: Connection, url: str) -> int | None:
    """The pid of a session of the server that `connection` has to share; None where its session is its own."""
    if not behind_pooler(connection):
        return None
    with connect(url, application_name="evolve", autocommit=True) as other:
        for _ in range(_LOOKS):
            mine = _pid(connection)
            with other.transaction():
                if _pid(other) == mine or _pid(connection) != mine:
                    return mine
    return None


def behind_pooler(connection: Connection) -> bool:
    """Whether there is any between us and the server, in whatever mode; `connection` is in autocommit mode."""
    # It answers a connection with a key of its own in the place of the session's pid.
    return _pid(connection) != connection.info.backend_pid


def _pid(connection: Connection) -> int:
    # No lock.
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return int(str(row[0])) if row else 0
