"""What a batch does with its piece: one small protocol, and the change that is one UPDATE."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from psycopg import sql

from evolve.backfill.ports import DatabaseFailure, Lease, Piece
from evolve.backfill.spec import Spec
from evolve.postgres.backfill_target import Target
from evolve.postgres.composing import identifier, table_name, written
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import CUTS, Cut, cut_of, piece_values, rows_of
from evolve.postgres.session import Session


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


class Updating:
    """One UPDATE per piece."""

    def __init__(self, spec: Spec, target: Target) -> None:
        self._statements = {cut: update(spec, target, cut).as_bytes() for cut in CUTS}

    def begin(self) -> bool:
        return False

    def apply(self, connection: Connection, lease: Lease, piece: Piece) -> int:
        # RowExclusive and row locks until COMMIT, in key order, for a few milliseconds.
        return connection.execute(self._statements[cut_of(piece)], piece_values(piece)).rowcount

    def failed(self, failure: DatabaseFailure) -> None:
        pass


def update(spec: Spec, target: Target, cut: Cut) -> sql.Composed:
    return sql.SQL("UPDATE {} SET {} WHERE {}").format(
        table_name(target.table), _changes(spec, target, cut), rows_of(target.key, cut, spec.where)
    )


def _changes(spec: Spec, target: Target, cut: Cut) -> sql.Composed:
    changes = [
        sql.SQL("{} = {}").format(identifier(column), written(expression))
        for column, expression in spec.assignments
    ]
    if cut.touch:
        changes += [
            sql.SQL("{} = {}.{}").format(identifier(column), table_name(target.table), identifier(column))
            for column in target.touched
        ]
    return sql.SQL(", ").join(changes)
