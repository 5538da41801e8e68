"""Changes to a text: what is replaced, and by what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """`text` in the place of the characters from `start` up to `end`; an insertion where the two are equal."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Iterable[Edit]) -> str:
    """`text` with all `edits`; those at one place are made in the order given.

    Raises:
        ValueError: two of them overlap.
    """
    pieces: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < at:
            message = f"two edits change the text at {edit.start}"
            raise ValueError(message)
        pieces += (text[at : edit.start], edit.text)
        at = edit.end
    return "".join((*pieces, text[at:]))


def touch(ones: Sequence[Edit], others: Sequence[Edit]) -> bool:
    """Whether what `ones` span in the text and what `others` span have anything in common, be it an edge."""
    if not ones or not others:
        return False
    start, end = min(edit.start for edit in ones), max(edit.end for edit in ones)
    other_start, other_end = min(edit.start for edit in others), max(edit.end for edit in others)
    return start <= other_end and other_start <= end
