"""Turn what psycopg raises into the failure the backfill engine judges, SQLSTATE and all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from evolve.backfill.ports import DatabaseFailure
from evolve.postgres.connect import CannotConnect, Connection


@contextmanager
def translated(connection: Connection | None = None) -> Iterator[None]:
    """Raise `DatabaseFailure` for any error of the server or of the way to it; the driver's error is its cause."""
    try:
        yield
    except CannotConnect as error:
        raise DatabaseFailure(error.what, sqlstate=None, lost=True) from error
    except psycopg.Error as error:
        if error.sqlstate is None and not isinstance(
            error, psycopg.OperationalError | psycopg.InterfaceError
        ):
            raise  # the driver refused what we gave it: a bug, not a failure
        raise DatabaseFailure(
            message(error), sqlstate=error.sqlstate, lost=connection is not None and connection.closed
        ) from error


def message(error: psycopg.Error) -> str:
    """One line, without the server's prefixes."""
    primary = error.diag.message_primary
    if primary:
        return primary
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
