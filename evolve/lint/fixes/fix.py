"""What a fix is, and why there may be none."""

from __future__ import annotations

from evolve.lint.fixes.edits import Edit
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Fix:
    """A change to the file of a finding, after which the finding is gone.

    Args:
        title: what it does, as an order: "Build the index concurrently".
        edits: to the file's text, none of which overlap.
    """

    title: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Unfixed:
    """`reason` is a clause without a full stop, for a person: "it stands in a loop"."""

    reason: str


class CannotFix(Exception):
    """Raised within this package where nothing is sure; the message is the reason of an `Unfixed`."""
