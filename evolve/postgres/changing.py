"""What a batch does with its piece: one small protocol, and the changes that are one statement."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from evolve.backfill.ports import DatabaseFailure, Lease, Piece
from evolve.backfill.spec import Spec
from evolve.postgres.backfill_target import Target
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import CUTS, cut_of, piece_values
from evolve.postgres.session import Session
from evolve.postgres.statements import share_lock, statement


class Change(Protocol):
    """Brings the rows of pieces up to date; made once for a worker, and in its thread only."""

    def begin(self) -> bool:
        """Asked before each transaction: whether it must be REPEATABLE READ."""
        ...

    def apply(self, connection: Connection, lease: Lease, piece: Piece) -> int:
        """Within the transaction that also moves the cursor: the number of rows written.

        Raises:
            psycopg.Error, DatabaseFailure: the transaction is rolled back.
        """
        ...

    def failed(self, failure: DatabaseFailure) -> None:
        """The transaction left nothing behind, for this reason."""
        ...


@runtime_checkable
class Preparing(Change, Protocol):
    """A change of which a part is done before the transaction."""

    def prepare(self, session: Session, lease: Lease, piece: Piece) -> None:
        """Called between two transactions, with the piece that is likely to be applied next.

        Raises:
            DatabaseFailure
        """
        ...


class Stating:
    """One statement per piece."""

    def __init__(self, spec: Spec, target: Target) -> None:
        self._statements = {cut: statement(spec, target, cut).as_bytes() for cut in CUTS}

    def begin(self) -> bool:
        return False

    def apply(self, connection: Connection, lease: Lease, piece: Piece) -> int:
        # RowExclusive and row locks until COMMIT, in key order, for a few milliseconds.
        return connection.execute(self._statements[cut_of(piece)], piece_values(piece)).rowcount

    def failed(self, failure: DatabaseFailure) -> None:
        pass


class Sharing:
    """One UPDATE per piece, after a lock on what it reads of another table.

    A REPEATABLE READ transaction: it fails where a partner changed between its snapshot and the lock, so what is
    written is what is locked.
    """

    def __init__(self, spec: Spec, target: Target) -> None:
        self._stating = Stating(spec, target)
        self._locks = {cut: share_lock(spec, target, cut).as_bytes() for cut in CUTS}

    def begin(self) -> bool:
        return True

    def apply(self, connection: Connection, lease: Lease, piece: Piece) -> int:
        # RowShare and shared row locks on the other table until COMMIT: who reads it or references it goes on.
        connection.execute(self._locks[cut_of(piece)], piece_values(piece))
        return self._stating.apply(connection, lease, piece)

    def failed(self, failure: DatabaseFailure) -> None:
        pass
