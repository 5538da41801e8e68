"""A number with what it counts, as it is said: "1 row", "3 rows"."""

from __future__ import annotations


def counted(number: int, one: str, several: str | None = None) -> str:
    """`number` and its noun.

    Args:
        one: said of one, with a verb where one follows: "row breaks".
        several: said of any other number; None: `one` with an s.
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def rows_of(table: str, number: int, one: str = "", several: str = "") -> str:
    """As in '1 row of "users" breaks', with the verb of one and of several."""
    name = f'of "{table}"'
    return counted(number, f"row {name} {one}".rstrip(), f"rows {name} {several}".rstrip())
