"""A piece that some of its rows keep from being written: halved until each such row stands alone and is set aside."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from evolve.backfill.failures import Verdict, judge
from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure, Lease, Piece, Reject
from evolve.values import dataclass

MOST = 500  # keys of a transaction that isolates: some of its rows are written several times over


@dataclass(frozen=True, slots=True)
class Isolated:
    """
    Args:
        changed: rows written.
        parts: how many writes of the piece stayed; each is a batch of its own to the undo journal.
        rejects: rows that fail alone, in the order of keys.
    """

    changed: int
    parts: int
    rejects: tuple[Reject, ...]


class Attempts(Protocol):
    """What is needed of `ports.Transaction`."""

    def keys(self, piece: Piece) -> list[Key]: ...

    def attempt(self, lease: Lease, piece: Piece) -> int: ...


def isolate(transaction: Attempts, lease: Lease, piece: Piece, *, slow: bool = False) -> Isolated:
    """Write every row of `piece` that can be written, each part under a savepoint.

    Rows that fail alone are tried once more when all others are written, last first: a row may need a value that
    another one of the piece still had.

    Args:
        slow: a row that runs out of time is set aside as well.

    Raises:
        DatabaseFailure: for another reason than what is in a row; the transaction must not commit.
    """
    changed = parts = 0
    faults = {Verdict.ROW, Verdict.TOO_SLOW} if slow else {Verdict.ROW}

    def attempt(part: Piece) -> DatabaseFailure | None:
        nonlocal changed, parts
        try:
            changed += transaction.attempt(replace(lease, batches=lease.batches + parts), part)
        except DatabaseFailure as failure:
            if failure.lost or judge(failure) not in faults:
                raise
            return failure
        parts += 1
        return None

    failed: list[Key] = []
    left = [(piece, transaction.keys(piece))]
    while left:
        part, keys = left.pop()
        if attempt(part) is not None:
            if part == alone(part, part.upto):
                failed.append(part.upto)
            else:
                left += reversed(_halves(part, keys))
    rejects: list[Reject] = []
    for key in reversed(failed):
        failure = attempt(alone(piece, key))
        if failure is not None:
            rejects.append(Reject(key, failure.sqlstate or "", failure.message))
    return Isolated(changed, parts, tuple(reversed(rejects)))


def alone(piece: Piece, key: Key) -> Piece:
    """The row with that key and nothing else, even if another one comes up beside it."""
    return replace(piece, first=key, after=None, upto=key, slices=1, slice=0)


def _halves(piece: Piece, keys: list[Key]) -> list[tuple[Piece, list[Key]]]:
    """Without rows that came up since the keys were read: nothing is promised to them."""
    if len(keys) < 2:
        return [(alone(piece, key), keys) for key in keys]
    middle = len(keys) // 2
    halves = (
        (replace(piece, upto=keys[middle - 1]), keys[:middle]),
        (replace(piece, after=keys[middle - 1]), keys[middle:]),
    )
    return [(part if len(own) > 1 else alone(piece, own[0]), own) for part, own in halves]
