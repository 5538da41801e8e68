"""What a server refuses for reasons that lie in its rights, its mode or its state, and not in evolve."""

from __future__ import annotations

import psycopg

from evolve.errors import EvolveError, Misuse, Refused
from evolve.postgres.failure import message


class NotPermitted(Misuse):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the role that evolve connects as may not do that: {reason}",
            why="it reads Alembic's version table, keeps a journal in schema evolve, and owns the tables it changes",
            fix="GRANT what is missing, or name a role that has it in --database-url",
        )


class ReadOnlySession(Misuse):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"this session may only read: {reason}",
            why="default_transaction_read_only is on for the role, the database or the server, or this is a standby",
            fix="connect to the primary, as a role that may write: name both in --database-url",
        )


class ServerGaveUp(Refused):
    """Nothing is wrong with the question; it was asked at a bad moment."""

    def __init__(self, reason: str, sqlstate: str | None) -> None:
        super().__init__(
            f"the server did not finish: {reason}",
            why=f"SQLSTATE {sqlstate}" if sqlstate else "the connection was lost",
            fix="see to the server, then run it again; a transaction that was open has been rolled back",
        )


def forbidden(error: BaseException | None) -> EvolveError | None:
    """The error for a person where `error` says that the role or the session may not do it; None for any other."""
    if not isinstance(error, psycopg.Error):
        return None
    match error.sqlstate:
        case "42501":  # insufficient_privilege
            return NotPermitted(message(error))
        case "25006":  # read_only_sql_transaction
            return ReadOnlySession(message(error))
        case _:
            return None


def explain(error: BaseException) -> EvolveError | None:
    """As `forbidden`, and for a server that is shut down, full, too slow or out of reach; None where it is a bug.

    By SQLSTATE: 08 connection, 53 resources, 57 operator's intervention and time limits, 55P03 lock not to be had,
    40 rolled back for others' sake; without one, what libpq says of a connection.
    """
    known = forbidden(error)
    if known is not None or not isinstance(error, psycopg.Error):
        return known
    state = error.sqlstate
    if state is None:
        return ServerGaveUp(message(error), None) if isinstance(error, psycopg.OperationalError) else None
    if state[:2] in ("08", "40", "53", "57", "58") or state == "55P03":
        return ServerGaveUp(message(error), state)
    return None
