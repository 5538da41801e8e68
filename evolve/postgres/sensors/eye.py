"""The connection that sensors look through: their own, so that a look never waits for a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from evolve.errors import EvolveError
from evolve.postgres.connect import Connection, connect
from evolve.postgres.pooler import behind_pooler

TIMEOUT = 1_000  # milliseconds for one look
FIRST_WAIT = 0.05  # seconds until a lost connection is opened anew; doubles up to the longest
LONGEST_WAIT = 5.0

Row = tuple[object, ...]


class Blind(Exception):
    """The role may not see what the sensor looks at, or there is nothing to be seen."""


class Eye:
    """One connection, opened when it is first looked through and again after it was lost. For one thread at a time."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._connection: Connection | None = None
        self._failures = 0
        self._next = clock()
        self._why = ""

    def row(self, query: sql.SQL | sql.Composed, values: dict[str, object] | None = None) -> Row:
        """The only row that `query` returns."""
        return self.rows(query, values)[0]

    def rows(self, query: sql.SQL | sql.Composed, values: dict[str, object] | None = None) -> list[Row]:
        """
        Raises:
            Blind: the role may not ask that, or this kind of server does not know it.
            psycopg.Error, EvolveError, OSError: the connection is gone, or there is none yet.
        """
        try:
            with self.transaction() as connection:
                return connection.execute(query, values).fetchall()
        except (psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
            raise Blind(str(error).partition("\n")[0]) from error

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Connection]:
        """Under `TIMEOUT`, for each statement and for each lock, and read only unless `write`.

        Raises:
            psycopg.Error, EvolveError, OSError: the connection is gone, or there is none yet.
        """
        connection = self._current()
        try:
            with connection.transaction():
                # SET LOCAL by function, in one round trip; nothing outlives the transaction, also behind a pooler.
                connection.execute(_LIMITS, {"timeout": str(TIMEOUT), "read_only": "off" if write else "on"})
                yield connection
        finally:
            if connection.closed:
                self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _current(self) -> Connection:
        if self._connection is not None:
            return self._connection
        if self._clock() < self._next:
            raise ConnectionError(self._why)
        try:
            connection = connect(self._url, application_name="evolve backfill sensor", autocommit=True)
        except EvolveError as error:
            self._why = error.what
            self._next = self._clock() + min(FIRST_WAIT * 2.0**self._failures, LONGEST_WAIT)
            self._failures += 1
            raise
        self._failures = 0
        self._connection = connection
        try:
            if behind_pooler(connection):
                # Each transaction may get another session of the server, which lacks what was prepared in the last one.
                connection.prepare_threshold = None
        except psycopg.Error:
            self.close()
            raise
        return connection


_LIMITS = sql.SQL(
    "SELECT set_config('statement_timeout', %(timeout)s, true), set_config('lock_timeout', %(timeout)s, true),"
    " set_config('transaction_read_only', %(read_only)s, true)"
)
