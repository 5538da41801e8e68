"""Whether a predicate demands that a column is null."""

from __future__ import annotations

import re


def null_before(where: str | None, column: str) -> bool:
    """`where` is a plain AND of conditions and one of them is `column IS NULL`."""
    if where is None or re.search(r"\bOR\b|\bNOT\s*\(|[()]|--|/\*", where, re.IGNORECASE):
        return False
    # What stands in a string is no condition.
    conditions = re.split(r"\bAND\b", re.sub(r"'(?:[^']|'')*'", "''", where), flags=re.IGNORECASE)
    name = f'"{re.escape(column)}"'
    if column == column.lower():  # a name without quotes is folded
        name = rf"(?:{name}|(?i:{re.escape(column)}))"
    return any(re.fullmatch(rf"\s*{name}\s+(?i:IS\s+NULL)\s*", condition) for condition in conditions)
