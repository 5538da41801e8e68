"""One runner at a time: a session-level advisory lock on a connection of its own.

Its own connection, because the revisions' connection belongs to the project's env.py and is closed, pooled or put into
autocommit as that file likes; a lock that lives there would be lost or would keep autocommit blocks from working.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from evolve.errors import Refused
from evolve.postgres.connect import Connection, connect
from evolve.postgres.pooler import refuse_pooled
from evolve.postgres.writable import refuse_read_only

# "evolve" in ASCII, cut to 31 bits, is the class; the object is a hash of the version table's name.
_LOCK_CLASS = 0x65766F6C & 0x7FFFFFFF


class AnotherRunner(Refused):
    def __init__(self, holder: str, waited: float) -> None:
        super().__init__(
            f"another runner still works on this database after {waited:.0f} s: {holder}",
            why="two runners at once would apply the same revision twice",
            fix="wait for it to end, or give more time: --wait SECONDS",
        )


class RunnerLockLost(Refused):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the session that kept other runners out has ended: {reason}",
            why="another runner may have begun since, so no further revision was started",
            fix="run it again: what was applied stays applied",
        )


class RecordLocked(Refused):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"what is recorded of upgrades cannot be read or written: {reason}",
            why="another session has locked a table of schema evolve; a revision that waits for it would keep its own "
            "locks meanwhile",
            fix="run it again when that session has ended; see who it is: SELECT * FROM pg_stat_activity WHERE pid IN "
            "(SELECT pid FROM pg_locks WHERE granted AND relation::regclass::text LIKE 'evolve.%')",
        )


@contextmanager
def runner_lock(
    url: str,
    version_table: str,
    *,
    wait: float,
    on_wait: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Connection]:
    """Hold the lock for the length of the `with` block; yields the autocommit connection that holds it.

    Args:
        version_table: schema-qualified name; projects that share a database but not a history do not wait for one
            another.
        wait: seconds to wait for a runner that is at work.
        on_wait: told once who holds the lock.

    Raises:
        AnotherRunner: it was still held after `wait` seconds.
        StandbyServer, ReadOnlySession: nothing can be written there.
        PooledByTransaction: `url` leads to a pooler behind which no lock holds.
        RunnerLockLost: the block used the connection after the server or the network had ended it.
        RecordLocked: the block set a `lock_timeout` for the connection, and that has passed.
    """
    with connect(url, application_name="evolve runner", autocommit=True) as connection:
        refuse_read_only(connection)
        refuse_pooled(connection, url)
        # No lock. The session is idle while a revision runs, and must not be ended for it.
        connection.execute("SET idle_session_timeout = 0")
        started = clock()
        told = False
        while not _try_lock(connection, version_table):
            holder = _holder(connection, version_table)
            if clock() - started >= wait:
                raise AnotherRunner(holder, clock() - started)
            if not told:
                on_wait(holder)
                told = True
            sleep(0.2)
        try:
            yield connection  # closing the connection, or dying, lets the lock go
        except psycopg.errors.LockNotAvailable as error:
            raise RecordLocked(str(error).strip().splitlines()[0]) from error
        except psycopg.OperationalError as error:
            if not connection.broken:
                raise
            raise RunnerLockLost(str(error).strip().splitlines()[0]) from error


def _try_lock(connection: Connection, version_table: str) -> bool:
    # No table lock; an advisory lock that only other runners ask for.
    row = connection.execute(
        "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK_CLASS, version_table)
    ).fetchone()
    return row is not None and row[0] is True


def _holder(connection: Connection, version_table: str) -> str:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        """
        SELECT format('pid %%s (%%s%%s) since %%s', a.pid, a.usename,
                      coalesce(' from ' || host(a.client_addr), ''), date_trunc('second', a.backend_start))
          FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = %s
           AND l.objid::bigint = hashtext(%s)::bigint & 4294967295
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """,
        (_LOCK_CLASS, version_table),
    ).fetchone()
    return str(row[0]) if row else "a session that has just ended"
