"""What the reading of revisions may ask instead of reading one, and tells about each that it read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from evolve.revisions.history import RevisionFile
from evolve.sql.steps import Recording
from evolve.values import dataclass

OwnModules = Callable[[], Sequence[Path]]


@dataclass(frozen=True, slots=True)
class After:
    """Where the reading of a revision left the session.

    Args:
        transactions: how many transactions there have been.
        open: ordinal of the one that the next revision goes on in.
        settled: a new session that goes on in that transaction does what the old one would have done.
    """

    transactions: int = 0
    open: int | None = None
    settled: bool = True


class Memory(Protocol):
    """Asked once for each revision, in their order.

    Args:
        start: where the session stands before the first of them.
        empty: it is known before the first that none will be recalled, so that nobody has to ask.
    """

    start: After

    @property
    def empty(self) -> bool: ...

    def recall(self, file: RevisionFile) -> tuple[Recording, After] | None:
        """What reading `file` at this point of the history would give; None where it has to be read."""
        ...

    def learn(self, file: RevisionFile, recording: Recording, after: After, own: OwnModules) -> None:
        """Told of each revision that was read; `own` lists the files of the project's modules loaded by now."""
        ...


class NoMemory:
    """Every revision is read."""

    start = After()
    empty = True

    def recall(self, file: RevisionFile) -> tuple[Recording, After] | None:
        del file
        return None

    def learn(self, file: RevisionFile, recording: Recording, after: After, own: OwnModules) -> None:
        """Forget it."""
