"""Lets this process die by SIGKILL at a moment at which none has died before."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, TransactionStatus

_QUERY = re.compile(
    r"\s*(SELECT|SHOW|SET|EXPLAIN|WITH\b(?!.*\b(INSERT|UPDATE|DELETE)\b)|BEGIN|START|ROLLBACK|ABORT|COMMIT)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBER = re.compile(r"\d+")  # of a key, or of a run of a backfill: another each time
_ROWS = re.compile(r"(\s|--[^\n]*\n)*(INSERT|UPDATE|DELETE|WITH|MERGE)\b", re.IGNORECASE)
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)


def arm(survived: Collection[str], let_by: int, lasting: bool) -> None:
    """Die at the first moment from here on that is not among `survived`; the last line of stderr tells which.

    The moments of a transaction: its first write has been sent; COMMIT is about to be sent; COMMIT has been sent, and
    will be done. Those of a statement that commits by itself: it has been sent; it has been done, unless it only
    writes rows, which is done at once; and where the server makes several transactions of it (CONCURRENTLY), the
    server has ended the session between two of them. Those of a file: before it gets its name, and after.

    A moment is called after all that its transaction has written, and how often this process has written that.

    Args:
        survived: names of moments.
        let_by: how many others are let by as well.
        lasting: only those behind which something is another than before.
    """
    watch = _Watch(frozenset(survived), let_by, lasting)
    execute: Any = psycopg.Cursor.execute
    exec_command: Any = psycopg.Connection._exec_command  # noqa: SLF001 - COMMIT comes through here alone
    wait: Any = psycopg.Connection.wait
    replace: Any = os.replace

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
        connection = self.connection
        if connection.info.transaction_status is TransactionStatus.IDLE:
            if connection.autocommit:
                with watch.alone(connection, text):
                    return execute(self, query, *arguments, **options)
            execute(self, "SELECT")  # so that BEGIN has been answered when the write is sent
        watch.writes(connection, text)
        return execute(self, query, *arguments, **options)

    def commanding(self: Any, command: Any, *arguments: Any, **options: Any) -> Any:
        sending = exec_command(self, command, *arguments, **options)
        if command == b"COMMIT":
            return watch.commits(self, sending)
        if command == b"ROLLBACK":
            watch.forgets(self)
        return sending

    def waiting(self: Any, generator: Any, *arguments: Any, **options: Any) -> Any:
        return wait(self, watch.sends(generator), *arguments, **options)

    def replacing(source: Any, target: Any, **options: Any) -> None:
        with watch.file(os.path.basename(target)):  # noqa: PTH119 - it need not be a Path
            replace(source, target, **options)

    psycopg.Cursor.execute = executing  # type: ignore[method-assign]
    psycopg.Connection._exec_command = commanding  # type: ignore[method-assign]  # noqa: SLF001
    psycopg.Connection.wait = waiting  # type: ignore[method-assign, assignment]
    os.replace = replacing  # type: ignore[assignment]


class _Watch:
    """Knows which moment is the last."""

    def __init__(self, survived: frozenset[str], let_by: int, lasting: bool) -> None:
        self._survived = survived
        self._let_by = let_by
        self._lasting = lasting
        self._written: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()  # by connection
        self._times: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._last = threading.local()  # what this thread dies of once its statement is sent

    # -- moments --------------------------------------------------------------------------------------------
    def writes(self, connection: Any, text: str) -> None:
        """A statement of a transaction is about to be sent."""
        written = self._written.setdefault(connection, [])
        written.append(text)
        if len(written) == 1 and not self._lasting:
            self._once_sent(f"in the transaction of {_named(written)}")

    def commits(self, connection: Any, sending: Any) -> Any:
        written = self._written.pop(connection, None)
        if written is None:
            return (yield from sending)
        if not self._lasting:
            self._now(f"before COMMIT of {_named(written)}")
        self._once_sent(f"at COMMIT of {_named(written)}")
        return (yield from self.sends(sending))

    def forgets(self, connection: Any) -> None:
        self._written.pop(connection, None)

    @contextmanager
    def alone(self, connection: Any, text: str) -> Iterator[None]:
        """A statement that commits by itself."""
        name = _named([text])
        ended = _CONCURRENTLY.search(text) and self._is_last(f"within {name}")
        if not ended:
            self._once_sent(f"at {name}")
        with _ended_between(connection, ended) if ended else nullcontext():
            yield
        if not _ROWS.match(text):
            self._now(f"after {name}")

    @contextmanager
    def file(self, name: str) -> Iterator[None]:
        self._now(f"before the file {name}")
        yield
        self._now(f"after the file {name}")

    # -- dying ----------------------------------------------------------------------------------------------
    def sends(self, generator: Any) -> Any:
        """Die where that was decided, as soon as the server has what `generator` sends."""
        moment = getattr(self._last, "moment", None)
        if moment is not None:
            next(generator, None)
            _die(moment)
        return (yield from generator)

    def _now(self, moment: str) -> None:
        if last := self._is_last(moment):
            _die(last)

    def _once_sent(self, moment: str) -> None:
        self._last.moment = self._is_last(moment)

    def _is_last(self, moment: str) -> str | None:
        """Its name, with the how-manieth of its kind it is; None where it is to be let by."""
        with self._counting:
            self._times[moment] += 1
            name = f"{moment}, {self._times[moment]}"
            if name in self._survived:
                return None
            self._let_by -= 1
            return name if self._let_by < 0 else None


def _named(written: list[str]) -> str:
    """The first words of what is written, and what tells it from all else."""
    texts = [_NUMBER.sub("0", " ".join(text.split())) for text in written]
    return f"{texts[0][:60]} [{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:8]}]"


@contextmanager
def _ended_between(connection: Any, moment: str) -> Iterator[None]:
    """Die once the server has ended the session of a statement that waits between two of its transactions.

    It waits for whoever writes; so that it does, somebody is about to write to every table. Nothing happens where the
    statement has nothing to do and never waits.
    """
    url = make_conninfo("", **connection.info.get_parameters(), password=connection.info.password).encode()
    writer, judge = PGconn.connect(url), PGconn.connect(url)
    for text in (b"BEGIN", b"SET LOCAL lock_timeout = 5000", _WRITING):
        writer.exec_(text)
    session, over = connection.info.backend_pid, threading.Event()

    def end() -> None:
        while not over.wait(0.005):
            if judge.exec_(_WAITS % session).get_value(0, 0) == b"t":
                judge.exec_(b"SELECT pg_terminate_backend(%d, 5000)" % session)
                _die(moment)

    ending = threading.Thread(target=end)
    ending.start()
    try:
        yield
    finally:
        over.set()
        ending.join()
        writer.finish()
        judge.finish()


_WRITING = b"""
    DO $$
    DECLARE name regclass;
    BEGIN
        FOR name IN
            SELECT oid FROM pg_catalog.pg_class
             WHERE relkind IN ('r', 'p') AND oid >= 16384
        LOOP
            EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', name);
        END LOOP;
    END $$
"""
_WAITS = (
    b"SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid = %d AND wait_event = 'virtualxid')"
)


def _die(moment: str) -> None:
    os.write(2, f"\n{moment}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()
