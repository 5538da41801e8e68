"""What the backfill engine needs from outside: transactions, leases, a clock, somewhere to report to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from evolve.backfill.keyset import Key
from evolve.backfill.progress import Snapshot
from evolve.sql.names import QualifiedName
from evolve.values import dataclass

BUCKETS = 1 << 20  # hashes of keys are told apart by so many; a slice takes a run of them


class Want(StrEnum):
    """What an operator asked of a run; read back at every checkpoint."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of keys behind the cursor that is written in several commits; stored, never worked out again.

    Args:
        upto: its last key.
        slices: how many commits it takes; each writes the rows whose key hashes to its part of the buckets.
        done: slices that are committed; the cursor moves with the last.
        rows: keys in it, about.
    """

    upto: Key
    slices: int
    done: int
    rows: int

    def cut(self, size: int) -> Window:
        """The same window in slices of about `size` rows, give or take a half: one that took too long is halved."""
        slices, done = self.slices, self.done
        while self.rows / slices > size * 1.5 and slices < BUCKETS:
            slices, done = slices * 2, done * 2
        return replace(self, slices=slices, done=done)

    @property
    def share(self) -> int:
        """Keys in the next slice, about; over all slices they add up to `rows`, however often it was cut anew."""
        return self.rows * (self.done + 1) // self.slices - self.rows * self.done // self.slices

    def may_follow(self, other: Window) -> bool:
        """Whether its next slice brings it no farther than `other` is."""
        return (self.done + 1) * other.slices <= other.done * self.slices


@dataclass(frozen=True, slots=True)
class Leaf:
    """A table that holds rows of a partitioned one."""

    oid: int
    name: QualifiedName


@dataclass(frozen=True, slots=True)
class Stretch:
    """The keys of a range; its parts as `Lease` has them."""

    first: Key | None
    low: Key | None
    upto: Key
    leaf: Leaf | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one range of a run, and where that range stands.

    Args:
        epoch: grows with each claim; a checkpoint under an older one is refused, so a worker that froze cannot commit.
        low: the range holds the keys behind this one; None: from `first` on.
        upto: last key of the range, fixed when the run began.
        cursor: last key committed; None before the first batch.
        window: the one that is being written behind the cursor, if any.
        beyond: those that follow it and are written in turns with it; none is farther than the one before it.
        batches: commits so far; a checkpoint from another number than the journal has is refused.
        scanned: keys walked so far, by every holder of this range.
        changed: rows written so far, by every holder of this range.
        first: where `low` is None, the first key of the range, fixed when the run began.
        leaf: the partition whose keys these are; None where the table is walked as a whole.
    """

    run_id: int
    range_no: int
    owner: str
    epoch: int
    low: Key | None
    upto: Key
    cursor: Key | None = None
    window: Window | None = None
    beyond: tuple[Window, ...] = ()
    finished: bool = False
    batches: int = 0
    scanned: int = 0
    changed: int = 0
    first: Key | None = None
    leaf: Leaf | None = None

    @property
    def after(self) -> Key | None:
        """Keys up to this one are done; None: none is."""
        return self.low if self.cursor is None else self.cursor

    @property
    def windows(self) -> tuple[Window, ...]:
        """Those that have been begun, in the order of their keys."""
        return () if self.window is None else (self.window, *self.beyond)

    @property
    def turn(self) -> int:
        """Which of `windows` is to be written next."""
        windows = self.windows
        return next((n for n in range(1, len(windows)) if windows[n].may_follow(windows[n - 1])), 0)

    def with_windows(self, windows: Sequence[Window]) -> Lease:
        return replace(self, window=windows[0] if windows else None, beyond=tuple(windows[1:]))


@dataclass(frozen=True, slots=True)
class Piece:
    """What one commit writes: the keys with `after < key <= upto`, or of them those that hash to one slice of several.

    Args:
        touch: assign indexed columns to themselves as well.
        first: where `after` is None: `first <= key <= upto`.
    """

    after: Key | None
    upto: Key
    slices: int = 1
    slice: int = 0
    touch: bool = True
    first: Key | None = None


class DatabaseFailure(Exception):
    """The server or the way to it failed; the transaction it happened in left nothing behind, unless it was in COMMIT.

    Args:
        sqlstate: five characters, or None where the server never answered.
        lost: the connection is gone; `reconnect` before anything else.
    """

    def __init__(self, message: str, *, sqlstate: str | None, lost: bool) -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate
        self.lost = lost


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was set aside, since it fails alone."""

    key: Key
    sqlstate: str
    message: str


class TooManyRejects(Exception):
    """Raised inside a batch's transaction, which rolls back: the run allows no more rows to be set aside.

    Args:
        first: of those that are too many.
        undoing: they cannot take their old values.
    """

    def __init__(self, first: Reject, allowed: int, *, undoing: bool = False) -> None:
        super().__init__(first.message)
        self.undoing = undoing
        self.first = first
        self.allowed = allowed


class Transaction(Protocol):
    """The statements of one batch; each raises `DatabaseFailure`."""

    def boundary(self, lease: Lease, rows: int) -> Key | None:
        """The `rows`-th key that is left of the range; None where fewer are."""
        ...

    def count(self, lease: Lease) -> int:
        """How many keys are left of the range."""
        ...

    def change(self, lease: Lease, piece: Piece) -> int:
        """Bring the rows of `piece` up to date; the number of rows written."""
        ...

    def check_at_once(self) -> None:
        """Let constraints that could wait until COMMIT be checked by each statement."""
        ...

    def keys(self, piece: Piece) -> list[Key]:
        """Of the rows of `piece`, in the order they are walked; also of rows that need no work."""
        ...

    def attempt(self, lease: Lease, piece: Piece) -> int:
        """As `change`, under a savepoint: where it raises for what is in a row, nothing else is lost."""
        ...

    def reject(self, lease: Lease, rejects: Sequence[Reject]) -> None:
        """Write down rows that are set aside.

        Raises:
            TooManyRejects: the run allows no more.
        """
        ...

    def checkpoint(self, old: Lease, new: Lease) -> Want | None:
        """Move the range from `old` to `new` if `old` is still where it stands and its lease is still ours.

        Returns None where it is not: then the transaction must not commit.
        """
        ...


class Batches(Protocol):
    @property
    def prepares(self) -> bool:
        """`prepare` is to be called before the transaction of each batch."""
        ...

    def prepare(self, lease: Lease, piece: Piece) -> None:
        """Do, outside of the batch's transaction, what need not be done in it: compute what its rows are to hold.

        Raises:
            DatabaseFailure
        """
        ...

    def transaction(self, lease: Lease) -> AbstractContextManager[Transaction]:
        """Commits at the end of the block, rolls back where it raises.

        Raises:
            DatabaseFailure: also at the end of the block; where that is `lost`, whether it committed is known only
                after reading the range back.
        """
        ...


class Leases(Protocol):
    """The worker's own hold on a range; each method is a transaction of its own and raises `DatabaseFailure`."""

    def retake(self, lease: Lease) -> Lease | None:
        """Reconnect where the connection is gone, read the range back, and fence whatever the old connection still
        does. None where another worker holds the range by now.
        """
        ...

    def renew(self, lease: Lease) -> Want | None:
        """Hold the lease for another term while waiting. None where it was lost."""
        ...

    def note(self, lease: Lease, kind: str, detail: str) -> None:
        """Write an event: what happened to the run and why."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What one committed transaction did.

    Args:
        lease: the range after it.
        scanned: keys walked.
        changed: rows written.
        want: what an operator asks for.
        seconds: by which the size of batches is steered; None takes all that it took.
    """

    lease: Lease
    scanned: int
    changed: int
    want: Want
    seconds: float | None = None


class Pass(Protocol):
    """One way over a run: forwards, or undoing."""

    def advance(self, lease: Lease, size: int) -> Step:
        """Commit one transaction of about `size` rows.

        Raises:
            CheckpointRefused: the range is not where `lease` says; nothing was committed.
            DatabaseFailure: nothing was committed, unless it is `lost`.
        """
        ...

    def reread(self, lease: Lease, journal: Lease) -> Lease:
        """Where the pass stands after a reconnect: `lease` as it was held, `journal` as it was read back."""
        ...


class Stop(Protocol):
    """Ctrl-C and SIGTERM: asked between batches, and able to cut a wait short."""

    def requested(self) -> str | None:
        """The name of the signal that came, if any."""
        ...

    def wait(self, seconds: float) -> None:
        """Sleep; return early when a signal comes."""
        ...


class Watch(Protocol):
    """Who looks on; called from the threads of all workers."""

    def report(self, snapshot: Snapshot) -> None: ...

    def say(self, message: str) -> None:
        """One line about something that is not progress: a retry, a wait, a reconnect."""
        ...
