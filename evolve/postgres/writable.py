"""Servers and sessions that may only be read, told before anything is done with them."""

from __future__ import annotations

from evolve.errors import Misuse
from evolve.postgres.connect import Connection
from evolve.postgres.refusal import ReadOnlySession


class StandbyServer(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "this server is a standby, which can only be read",
            why="it repeats what its primary writes, and knows neither who works there nor how much is used there",
            fix="connect to the primary: name its address in --database-url",
        )


def is_standby(connection: Connection) -> bool:
    return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def refuse_read_only(connection: Connection) -> None:
    """
    Raises:
        StandbyServer: it replays another server's writes.
        ReadOnlySession: transactions of this role or in this database may only read.
    """
    if is_standby(connection):
        raise StandbyServer
    if connection.execute("SELECT current_setting('transaction_read_only')").fetchone() == ("on",):
        raise ReadOnlySession("transaction_read_only is on")
