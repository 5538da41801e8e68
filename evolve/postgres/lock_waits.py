"""How long a session waits for locks: for a few statements longer or shorter than for its others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from evolve.postgres.connect import Connection


@contextmanager
def lock_timeout(connection: Connection, milliseconds: int) -> Iterator[None]:
    """Wait so long within the `with` block, and as before behind it.

    Args:
        connection: in autocommit mode.
        milliseconds: 0 is no limit.
    """
    # No lock, here and below.
    row = connection.execute("SELECT current_setting('lock_timeout')").fetchone()
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (str(milliseconds),))
    try:
        yield
    finally:
        with suppress(psycopg.OperationalError):  # a connection that is gone waits for nothing
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (row[0] if row else "0",))
