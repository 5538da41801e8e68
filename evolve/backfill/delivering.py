"""Carries out what an outbox holds: claims notes, calls the function, marks what it has done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from evolve.backfill.calling import Computing, FunctionFailed, Row, Values
from evolve.backfill.failures import Verdict, judge
from evolve.backfill.ports import DatabaseFailure, Lease, Pass, Step
from evolve.values import dataclass

IDEMPOTENCY_KEY = (
    "idempotency_key"  # of a row that an effect is given: the same for each try of the same effect
)
TRIES = 5  # of one note, before its row is set aside
FIRST_DELAY = 1.0  # seconds until the second try; each later one takes twice as long


@dataclass(frozen=True, slots=True)
class Note:
    """
    Args:
        number: of the note, in the journal.
        row: what the function is given.
        tries: that failed.
    """

    number: int
    row: Row
    tries: int


@dataclass(frozen=True, slots=True)
class Notes:
    """How many of a run are in each state; `failed` were given up, and their rows set aside."""

    waiting: int
    delivered: int
    failed: int


class Outbox(Protocol):
    """Notes of one run; each method is a transaction of its own and raises `DatabaseFailure`."""

    def claim(self, rows: int) -> list[Note]:
        """Hold up to so many notes that are due and that nobody holds, for the length of a lease."""
        ...

    def held(self, notes: Sequence[Note], lease: Lease | None) -> AbstractContextManager[None]:
        """Renew that while the block runs, and the lease of the range that is walked."""
        ...

    def give_back(self, notes: Sequence[Note]) -> None:
        """Hold them no longer; nothing was done about them."""
        ...

    def done(self, notes: Sequence[Note], answers: Sequence[Values | None]) -> int:
        """Write what the effects answered, and mark their notes as delivered; the number of rows written.

        A row that somebody changed meanwhile keeps what it has, and is noted anew.
        """
        ...

    def failed(self, note: Note, message: str, *, delay: float | None) -> None:
        """Try it again after `delay` seconds; None gives it up, and sets its row aside.

        Raises:
            TooManyRejects: the run allows no more.
        """
        ...

    def left(self) -> int:
        """Notes that are not delivered or given up, whoever holds them."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """`handled` notes, delivered or not; `written` rows."""

    handled: int
    written: int


def deliver(outbox: Outbox, function: Computing, rows: int, lease: Lease | None = None) -> Delivery:
    """Carry out up to `rows` notes. Where the function raises, each of them alone.

    Args:
        lease: of the range that the worker walks, which must not run out meanwhile.

    Raises:
        FunctionFailed: it broke its contract; its notes are due again.
        TooManyRejects, DatabaseFailure
    """
    notes = outbox.claim(rows)
    if not notes:
        return Delivery(0, 0)
    left = list(notes)
    try:
        with outbox.held(notes, lease):
            written = _together(outbox, function, left)
            while left:
                written += _alone(outbox, function, left[0])
                del left[0]
    except BaseException:
        with suppress(DatabaseFailure):  # else they are due again once their lease has ended
            outbox.give_back(left)
        raise
    return Delivery(len(notes), written)


def _together(outbox: Outbox, function: Computing, notes: list[Note]) -> int:
    """Rows written; `notes` is empty then, or as it was where the function raised."""
    try:
        answers = function([note.row for note in notes])
    except FunctionFailed as failure:
        if judge(failure) is not Verdict.ROW:
            raise
        return 0
    written = outbox.done(notes, answers)
    notes.clear()
    return written


def _alone(outbox: Outbox, function: Computing, note: Note) -> int:
    try:
        answers = function([note.row])
    except FunctionFailed as failure:
        if judge(failure) is not Verdict.ROW:
            raise
        delay = FIRST_DELAY * 2**note.tries if note.tries + 1 < TRIES else None
        outbox.failed(note, failure.message, delay=delay)
        return 0
    return outbox.done([note], answers)


class Followed:
    """A pass whose batches are followed by the effects that they have noted."""

    def __init__(self, walking: Pass, outbox: Outbox, function: Computing) -> None:
        self._walking = walking
        self._outbox = outbox
        self._function = function

    def advance(self, lease: Lease, size: int) -> Step:
        step = self._walking.advance(lease, size)
        if step.changed:
            deliver(self._outbox, self._function, step.changed, step.lease)
        return step

    def reread(self, lease: Lease, journal: Lease) -> Lease:
        return self._walking.reread(lease, journal)
