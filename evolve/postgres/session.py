"""A worker's connection: opened, reopened, and what each of its transactions may cost others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from evolve.backfill.ports import DatabaseFailure
from evolve.postgres.connect import Connection, connect
from evolve.postgres.failure import translated
from evolve.postgres.pooler import behind_pooler


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Milliseconds, for each statement of a batch.

    Args:
        lock: a row lock somebody else holds; short, since a batch that waits holds up others, and well below
            deadlock_timeout (1 s), so that of a batch and a writer that wait for each other the batch gives way.
        statement: one statement; a batch that takes longer is tried with half the rows.
        idle: a client that froze inside its transaction; shorter than a lease, so that its locks are gone when another
            worker takes over.
    """

    lock: int = 500
    statement: int = 5_000
    idle: int = 5_000


class Session:
    """One connection in autocommit mode; `reopen` puts another in its place.

    Args:
        lasting: a COMMIT returns when it would survive a crash of the server. Where all that a transaction does is in
            the database, its cursor with it, a crash may as well undo the last of them: nobody then waits for a disk.
    """

    def __init__(
        self, url: str, application_name: str, timeouts: Timeouts | None = None, *, lasting: bool = True
    ) -> None:
        self._url = url
        self._limits = _LIMITS if lasting else _LIMITS_AND_NO_WAIT
        self._application_name = application_name
        self.timeouts = timeouts or Timeouts()
        self._connection = self._opened()

    def _opened(self) -> Connection:
        connection = connect(self._url, application_name=self._application_name, autocommit=True)
        if behind_pooler(connection):
            # Each transaction may get another session of the server, which lacks what was prepared in the last one.
            connection.prepare_threshold = None
        return connection

    def current(self) -> Connection:
        return self._connection

    def reopen(self) -> None:
        """
        Raises:
            CannotConnect: the server is away.
            DatabaseFailure: what answers is a standby, or is shutting down.
        """
        self._connection.close()
        self._connection = self._opened()
        with translated(self._connection):
            standby = self._connection.execute("SELECT pg_is_in_recovery()").fetchone()
        if standby == (True,):
            raise DatabaseFailure("this server is a standby now", sqlstate="25006", lost=False)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self, *, exact: bool = False) -> Iterator[Connection]:
        """A transaction under the timeouts; commits at the end, rolls back on an error.

        Args:
            exact: REPEATABLE READ: rows that somebody changed since it began make it fail with 40001.
        """
        connection = self._connection
        with translated(connection):
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ if exact else None
            with connection.transaction():
                # SET LOCAL by function, in one round trip; nothing outlives the transaction, also behind a pooler.
                connection.execute(
                    self._limits, (self.timeouts.lock, self.timeouts.statement, self.timeouts.idle)
                )
                yield connection


_LIMITS = sql.SQL(
    "SELECT set_config('lock_timeout', %s::text, true), set_config('statement_timeout', %s::text, true),"
    " set_config('idle_in_transaction_session_timeout', %s::text, true)"
)
# Who replicates synchronously means to wait for a standby, and is held back by it: that stays.
_LIMITS_AND_NO_WAIT = sql.SQL(
    "{}, CASE WHEN current_setting('synchronous_standby_names') = ''"
    " THEN set_config('synchronous_commit', 'off', true) END"
).format(_LIMITS)
