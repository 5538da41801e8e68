"""The change that writes down what its rows held before: exact under concurrent writers, see `undo_journal`."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.rows import class_row

from evolve.backfill.failures import Verdict, judge
from evolve.backfill.ports import DatabaseFailure, Lease, Piece
from evolve.backfill.spec import Spec
from evolve.backfill.works import JoinedUpdate
from evolve.postgres import undo_journal
from evolve.postgres.backfill_target import Target
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import CUTS, cut_of, piece_values
from evolve.postgres.statements import from_clause, rows_of_work, share_lock, statement

LOCKING = 20  # batches that lock their rows first, after one that met another writer


@dataclass(frozen=True, slots=True)
class _Recorded:
    seen: int
    changed: int


class Recording:
    """One UPDATE per piece, and its before-images.

    A REPEATABLE READ transaction: cheap, and right because a row that somebody changed meanwhile fails it. Where that
    happens, the next batches lock their rows first and wait: a row that is always in somebody's hands would fail every
    try. Where the UPDATE returns what it replaced, neither is needed.
    """

    def __init__(self, spec: Spec, target: Target, undo_of: int) -> None:
        locks_partners = isinstance(spec.work, JoinedUpdate) and spec.work.lock
        self._exact = target.returns_old and not locks_partners
        self._statements = {
            cut: (
                undo_journal.returning(undo_of, target, statement(spec, target, cut))
                if self._exact
                else undo_journal.recording(
                    undo_of,
                    target,
                    statement(spec, target, cut),
                    rows_of_work(spec, target, cut),
                    found_in=from_clause(spec, target),
                )
            ).as_bytes()
            for cut in CUTS
        }
        self._locks = {
            cut: undo_journal.locking(
                target, rows_of_work(spec, target, cut), found_in=from_clause(spec, target)
            ).as_bytes()
            for cut in CUTS
        }
        self._shares = (
            {cut: share_lock(spec, target, cut).as_bytes() for cut in CUTS} if locks_partners else {}
        )
        self._left = 0
        self._locking = False

    def begin(self) -> bool:
        if self._exact:
            return False
        self._locking = self._left > 0
        self._left = max(0, self._left - 1)
        return not self._locking

    def apply(self, connection: Connection, lease: Lease, piece: Piece) -> int:
        cut = cut_of(piece)
        values = {**piece_values(piece), "range_no": lease.range_no, "batch_no": lease.batches + 1}
        locked: object = None
        if self._locking:
            # Row locks until COMMIT, in key order; whoever holds one is waited for.
            row = connection.execute(self._locks[cut], values).fetchone()
            locked = row[0] if row else 0
        if self._shares:
            # RowShare and shared row locks on the other table until COMMIT: who reads it or references it goes on.
            connection.execute(self._shares[cut], values)
        with connection.cursor(row_factory=class_row(_Recorded)) as cursor:
            # RowExclusive and row locks until COMMIT, in key order, for a few milliseconds.
            recorded = cursor.execute(self._statements[cut], values).fetchone()
        if recorded is None:
            return 0
        if locked is not None and recorded.seen != locked:
            raise DatabaseFailure(
                "rows came up while the batch was being locked", sqlstate="40001", lost=False
            )
        return recorded.changed

    def failed(self, failure: DatabaseFailure) -> None:
        # What isolates a row counts rejects of all workers: it must see what others committed since it began.
        if failure.sqlstate == "40001" or judge(failure) is Verdict.ROW:
            self._left = LOCKING
