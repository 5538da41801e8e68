"""The pass that tries rows once more that a run has set aside."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from evolve.backfill.failures import Verdict, judge
from evolve.backfill.isolation import MOST
from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure, Lease, Piece, Reject, Step, Transaction
from evolve.backfill.runner import CheckpointRefused


class RetryTransaction(Transaction, Protocol):
    def due(self, lease: Lease, rows: int) -> list[Key]:
        """Up to `rows` keys of rejects of the range that this retry has not come to yet."""
        ...

    def resolve(self, lease: Lease, keys: Sequence[Key]) -> None:
        """Write down that these rows are written, or need no work any more."""
        ...


class RetryBatches(Protocol):
    def transaction(self, lease: Lease) -> AbstractContextManager[RetryTransaction]:
        """As `ports.Batches.transaction`."""
        ...


class Again:
    """Tries each reject of a range alone, several in a transaction; the range itself stays where it is.

    A row that is gone, or that the predicate of the run does not find any more, needs no work: it is resolved too.
    """

    def __init__(self, batches: RetryBatches) -> None:
        self._batches = batches

    def advance(self, lease: Lease, size: int) -> Step:
        rows = min(size, MOST)
        with self._batches.transaction(lease) as transaction:
            transaction.check_at_once()
            keys = transaction.due(lease, rows)
            changed = 0
            written: list[Key] = []
            rejects: list[Reject] = []
            for key in keys:
                numbered = replace(lease, batches=lease.batches + len(written))
                try:
                    changed += transaction.attempt(numbered, Piece(None, key, touch=False, first=key))
                except DatabaseFailure as failure:
                    if judge(failure) is not Verdict.ROW:
                        raise
                    rejects.append(Reject(key, failure.sqlstate or "", failure.message))
                else:
                    written.append(key)
            transaction.resolve(lease, written)
            transaction.reject(lease, rejects)
            after = replace(
                lease, batches=lease.batches + max(1, len(written)), changed=lease.changed + changed
            )
            # Only a run that is done is retried: its ranges are at their ends.
            want = transaction.checkpoint(lease, replace(after, finished=True))
            if want is None:
                raise CheckpointRefused
        return Step(replace(after, finished=len(keys) < rows), len(keys), changed, want)

    def reread(self, lease: Lease, journal: Lease) -> Lease:
        return replace(journal, finished=False)
