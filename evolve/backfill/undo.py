"""Whether a run keeps an undo journal, and the pass that restores from it, newest batch first."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from evolve.backfill.failures import Verdict, judge
from evolve.backfill.isolation import MOST
from evolve.backfill.keyset import PLACE
from evolve.backfill.nulls import null_before
from evolve.backfill.ports import DatabaseFailure, Lease, Step, Want
from evolve.backfill.runner import PROOFS, CheckpointRefused
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.works import Delete, InsertSelect
from evolve.errors import Misuse


class JournalMode(StrEnum):
    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Restored:
    """What one undo transaction did.

    Args:
        rows: got their old values back.
        conflicts: had been changed or deleted since; left alone and listed.
        finished: nothing is left to do in the journal.
        refused: cannot take their old values, each alone; listed, and kept in the journal for the next try.
    """

    rows: int
    conflicts: int
    finished: bool
    refused: int = 0


class UndoTransaction(Protocol):
    def restore(self, lease: Lease, rows: int) -> Restored:
        """Restore up to `rows` rows of the newest batch that is left, where they still hold what the batch wrote."""
        ...

    def isolate(self, lease: Lease, rows: int, *, slow: bool) -> Restored:
        """As `restore`, in parts that each can fail alone: rows that cannot take their old values are set aside.

        Args:
            slow: and so is one that runs out of time.

        Raises:
            TooManyRejects: the run allows no more; the transaction must not commit.
        """
        ...

    def checkpoint(self, lease: Lease, *, finished: bool) -> Want | None:
        """Renew the lease, mark the range as undone where it is `finished`, and read what is wanted; None where the
        range is not ours any more: do not commit.
        """
        ...


class UndoBatches(Protocol):
    def transaction(self) -> AbstractContextManager[UndoTransaction]:
        """As `ports.Batches.transaction`."""
        ...


class Backward:
    """Empties the undo journal; what is left in it is the cursor, so the range keeps the one of the way forward.

    Where a row keeps a transaction from being committed, the rows of that one are gone over once more, see `isolation`.
    The lease it is driven with counts the rows seen and restored by this pass, for progress only.
    """

    def __init__(self, batches: UndoBatches) -> None:
        self._batches = batches
        self._suspects = 0  # rows ahead, one of which failed a transaction
        self._timeouts = 0  # of one and the same row, in a transaction of its own

    def advance(self, lease: Lease, size: int) -> Step:
        if self._suspects <= 0:
            try:
                step = self._restore(lease, size, apart=False)
            except DatabaseFailure as failure:
                verdict = judge(failure)
                if verdict is Verdict.TOO_SLOW and size == 1 and not failure.lost:
                    self._timeouts += 1
                    if self._timeouts < PROOFS:
                        raise
                elif verdict is not Verdict.ROW:
                    raise
                self._suspects = size
            else:
                self._timeouts = 0
                return step
        step = self._restore(lease, min(size, MOST), apart=True)
        self._suspects -= step.scanned
        self._timeouts = 0
        return step

    def _restore(self, lease: Lease, size: int, *, apart: bool) -> Step:
        with self._batches.transaction() as transaction:
            restored = (
                transaction.isolate(lease, size, slow=self._timeouts >= PROOFS)
                if apart
                else transaction.restore(lease, size)
            )
            want = transaction.checkpoint(lease, finished=restored.finished)
            if want is None:
                raise CheckpointRefused
        seen = restored.rows + restored.conflicts + restored.refused
        after = replace(
            lease,
            scanned=lease.scanned + seen,
            changed=lease.changed + restored.rows,
            finished=restored.finished,
        )
        return Step(after, seen, restored.rows, want)

    def reread(self, lease: Lease, journal: Lease) -> Lease:
        return replace(lease, epoch=journal.epoch)


class NoPlaceToUndo(Misuse):
    def __init__(self, spec: Spec) -> None:
        super().__init__(
            f'backfill "{spec.name}" cannot keep an undo journal: it walks by the places of rows, not by a key',
            why="a row that was written has another place, and its old value would not find it",
            fix="walk a unique key, or leave --undo-journal out",
        )


class KeepsNoJournal(Misuse):
    def __init__(self, spec: Spec) -> None:
        match spec.work:
            case Delete():
                does = "deletes rows"
                fix = f"copy rows before they are deleted: evolve backfill run {spec.table} --into ARCHIVE"
            case InsertSelect():
                does, fix = "inserts rows", "delete what it inserted, by another backfill: --delete"
            case _:
                does, fix = "acts outside of the database", "take its effects back where they are"
        super().__init__(
            f'backfill "{spec.name}" {does}: there is no undo for it',
            why="an undo journal holds old values of columns, by key",
            fix=fix,
        )


def keeps_journal(spec: Spec, mode: JournalMode) -> bool:
    """`auto` is on unless `where` demands that every target column is null: then there is nothing to give back.

    Raises:
        KeepsNoJournal: ON for work that changes no column, or has effects outside of the database.
        NoPlaceToUndo: ON where places are walked, for want of a key.
    """
    if spec.key == (PLACE.name,):
        if mode is JournalMode.ON:
            raise NoPlaceToUndo(spec)
        return False
    effects = isinstance(spec.work, Transform) and spec.work.mode is Mode.OUTBOX
    if effects or isinstance(spec.work, InsertSelect | Delete):
        if mode is JournalMode.ON:
            raise KeepsNoJournal(spec)
        return False
    match mode:
        case JournalMode.ON:
            return True
        case JournalMode.OFF:
            return False
        case JournalMode.AUTO:
            return not all(null_before(spec.where, column) for column in spec.columns)
