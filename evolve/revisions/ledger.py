"""What a runner tells of a revision's statements on their way to the server, and asks before it sends one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

_PASSWORD = re.compile(r"(PASSWORD\s+)'(?:[^']|'')*'", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement of a revision.

    Args:
        ordinal: counts from 1 through the revision; gates, BEGIN and COMMIT do not count.
        text: as it is sent, which may hold secrets.
        digest: of the text and its parameters.
        place: file:line.
        rows: it gave rows back.
    """

    ordinal: int
    text: str
    digest: str
    place: str
    rows: bool = False

    def __str__(self) -> str:
        return f"{self.summary} ({self.place})"

    @property
    def summary(self) -> str:
        """Its first 80 characters on one line, without a password."""
        return _PASSWORD.sub(r"\1'…'", " ".join(self.text.split()))[:80]


class Ledger(Protocol):
    """Keeps what of a revision becomes permanent before the revision is through.

    Each call is made before the next thing happens, from the thread that runs the revision. What it raises ends the
    revision.

    Args:
        keeps: so that another attempt need not begin where this one did.
    """

    @property
    def keeps(self) -> bool: ...

    def waits(self, sent: Sent, search_path: str) -> None:
        """`sent` has CONCURRENTLY in it, and is about to wait for whoever has an old snapshot."""

    def skips(self, sent: Sent, search_path: Callable[[], str]) -> bool:
        """True where an earlier run has done it for good."""
        ...

    def sends(self, sent: Sent, search_path: str) -> None:
        """It is about to be sent outside a transaction, so that it becomes permanent by itself."""

    def succeeded(self, sent: Sent) -> None:
        """What `sends` told of is permanent."""

    def failed(self, sent: Sent) -> None:
        """The server refused what `sends` told of."""

    def commits(self, statements: Sequence[Sent], transaction: str, search_path: str) -> None:
        """The transaction with this id did `statements`, and is about to be committed in the middle of the revision."""

    def stamps(self, transaction: str) -> None:
        """The transaction with this id writes the version, and is about to be committed; then all before is through."""
