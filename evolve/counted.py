"""A number with what it counts, as it is said: "1 row", "3 rows"."""

from __future__ import annotations


def counted(number: int, one: str, several: str | None = None) -> str:
    """`number` and its noun.

    Args:
        one: said of one, with a verb where one follows: "row breaks".
        several: said of any other number; None: `one` with an s.
    """
    return f"{number} {one if number == 1 else several or one + 's'}"
