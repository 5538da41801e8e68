"""The statements of a batch: boundary, change, checkpoint; one transaction, one range of keys."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from evolve.backfill.failures import Verdict, judge
from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure, Lease, Piece, Reject, Want
from evolve.backfill.steering import Link
from evolve.postgres import journal
from evolve.postgres import rejects as set_aside
from evolve.postgres.changing import Preparing
from evolve.postgres.connect import Connection
from evolve.postgres.failure import translated
from evolve.postgres.ground import Ground, Grounds
from evolve.postgres.pieces import cut_of, piece_values, range_values
from evolve.postgres.session import Session
from evolve.postgres.walking import read_key


class SqlBatches:
    """`ports.Batches` on a server.

    Args:
        slow: seconds; after a batch that took longer, or ran out of time, the plan of the next one is looked at.
        lease_seconds: how long a checkpoint renews the lease for.
        link: what is exchanged with each checkpoint.
    """

    def __init__(
        self,
        session: Session,
        grounds: Grounds,
        *,
        slow: float,
        lease_seconds: float,
        link: Link | None = None,
    ) -> None:
        self._link = link
        self._session = session
        self._grounds = grounds
        self._slow = slow
        self._lease_seconds = lease_seconds
        self._suspect = False
        self._custom = False

    @property
    def prepares(self) -> bool:
        return isinstance(self._grounds.whole.change, Preparing)

    def prepare(self, lease: Lease, piece: Piece) -> None:
        ground = self._ground(lease)
        if isinstance(ground.change, Preparing):
            ground.change.prepare(self._session, lease, piece)

    @contextmanager
    def transaction(self, lease: Lease) -> Iterator[SqlTransaction]:
        ground = self._ground(lease)
        proven = ground.proven
        began = time.monotonic()
        try:
            with self._session.transaction(exact=ground.change.begin()) as connection:
                if self._custom:
                    connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
                transaction = SqlTransaction(
                    connection, ground, self._lease_seconds, suspect=self._suspect, link=self._link
                )
                yield transaction
                proven = transaction.proven
        except _Altered:
            self._look_again(lease)
            raise DatabaseFailure(
                f'table "{ground.target.table.plain}" was altered; it was looked at again',
                sqlstate="55006",
                lost=False,
            ) from None
        except DatabaseFailure as failure:
            ground.change.failed(failure)
            verdict = judge(failure)
            if verdict is Verdict.FATAL and self._look_again(lease):
                raise DatabaseFailure(
                    f"{failure.message}; the table was altered meanwhile", sqlstate="55006", lost=False
                ) from failure
            self._suspect = self._suspect or verdict is Verdict.TOO_SLOW
            raise
        ground.proven = proven
        if self._suspect:
            # Its plan is good: what was slow may have been the plan for any values that the server keeps.
            self._custom = True
        self._suspect = time.monotonic() - began > self._slow

    def _ground(self, lease: Lease) -> Ground:
        connection = self._session.current()
        with translated(connection):
            return self._grounds.of(connection, lease)

    def _look_again(self, lease: Lease) -> bool:
        connection = self._session.current()
        with translated(connection):
            return self._grounds.look_again(connection, lease)


class _Altered(Exception):
    """Raised inside a batch's transaction, which rolls back: the table is not what its statements were made for."""


class SqlTransaction:
    """`ports.Transaction` on a server.

    Args:
        suspect: look at the plan of the batch first.
        proven: see `Ground`.
    """

    def __init__(
        self,
        connection: Connection,
        ground: Ground,
        lease_seconds: float,
        *,
        suspect: bool = False,
        link: Link | None = None,
    ) -> None:
        self._link = link
        self._connection = connection
        self._ground = ground
        self._lease_seconds = lease_seconds
        self._suspect = suspect
        self.proven = ground.proven

    def boundary(self, lease: Lease, rows: int) -> Key | None:
        query = self._ground.walk.boundaries[lease.after is None]
        values = {**range_values(lease.first, lease.after, lease.upto), "rows": rows}
        with translated(self._connection):
            # AccessShare; an index-only scan of the batch's own keys.
            return read_key(self._connection.execute(query, values).fetchone())

    def count(self, lease: Lease) -> int:
        query = self._ground.walk.counts[lease.after is None]
        values = range_values(lease.first, lease.after, lease.upto)
        with translated(self._connection):
            # AccessShare; an index-only scan of fewer keys than a window has.
            row = self._connection.execute(query, values).fetchone()
        return int(str(row[0])) if row else 0

    def change(self, lease: Lease, piece: Piece) -> int:
        with translated(self._connection):
            if self._suspect:
                self._ground.check_plan(self._connection, piece)
            self._prove(piece)
            return self._ground.change.apply(self._connection, lease, piece)

    def check_at_once(self) -> None:
        with translated(self._connection):
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def keys(self, piece: Piece) -> list[Key]:
        query = self._ground.walk.keys[cut_of(piece)]
        with translated(self._connection):
            # AccessShare; an index-only scan of a small piece.
            rows = self._connection.execute(query, piece_values(piece)).fetchall()
        return [key for row in rows if (key := read_key(row)) is not None]

    def attempt(self, lease: Lease, piece: Piece) -> int:
        with translated(self._connection), self._connection.transaction():
            self._prove(piece)
            return self._ground.change.apply(self._connection, lease, piece)

    def _prove(self, piece: Piece) -> None:
        self.proven = self.proven or self._ground.prove(self._connection, piece)

    def reject(self, lease: Lease, rejects: Sequence[Reject]) -> None:
        with translated(self._connection):
            set_aside.reject(self._connection, lease, rejects)

    def due(self, lease: Lease, rows: int) -> list[Key]:
        with translated(self._connection):
            return set_aside.due(self._connection, lease, rows)

    def resolve(self, lease: Lease, keys: Sequence[Key]) -> None:
        with translated(self._connection):
            set_aside.resolve(self._connection, lease, keys)

    def checkpoint(self, old: Lease, new: Lease) -> Want | None:
        with translated(self._connection):
            checked = journal.checkpoint(
                self._connection, self._ground.checkpoint, old, new, self._lease_seconds, self._link
            )
        if checked is None:
            return None
        if checked.mark != self._ground.target.mark:
            raise _Altered
        return Want(checked.want)
