"""Lets this process die by SIGKILL at the n-th thing it does that lasts: a statement, a commit, a file."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

_QUERY = re.compile(
    r"\s*(SELECT|SHOW|SET|EXPLAIN|WITH\b(?!.*\b(INSERT|UPDATE|DELETE)\b))", re.IGNORECASE | re.DOTALL
)
_UNDER_WAY = 0.002  # seconds after which a statement has reached the server, and many are not done


def arm(at: int, how: str) -> None:
    """From here on it counts.

    Args:
        at: dies at this one, from 1.
        how: "after": once it is done; "during": shortly after it began.
    """
    done = 0
    counting = threading.Lock()

    def counted() -> bool:
        nonlocal done
        with counting:
            done += 1
            return done == at

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    execute: Any = psycopg.Cursor.execute

    def executing(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        text = (
            query.decode()
            if isinstance(query, bytes)
            else query
            if isinstance(query, str)
            else query.as_string()
        )
        if _QUERY.match(text):
            return execute(self, query, *arguments, **options)
        hit = counted()
        if hit and how == "during":
            threading.Timer(_UNDER_WAY, die).start()
        result = execute(self, query, *arguments, **options)
        if hit:
            die()
        return result

    wait = psycopg.Connection.wait

    def waiting(self: Any, *arguments: Any, **options: Any) -> Any:
        before = self.pgconn.transaction_status
        result = wait(self, *arguments, **options)
        after = self.pgconn.transaction_status
        if before is TransactionStatus.INTRANS and after is TransactionStatus.IDLE and counted():
            die()
        return result

    replace = os.replace

    def replacing(*arguments: Any, **options: Any) -> None:
        if counted():
            die()
        replace(*arguments, **options)
        if counted():
            die()

    psycopg.Cursor.execute = executing  # type: ignore[method-assign]
    psycopg.Connection.wait = waiting  # type: ignore[method-assign]
    os.replace = replacing
