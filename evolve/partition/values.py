"""Key values and bounds as the server prints them, read back."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from evolve.errors import Refused
from evolve.sql.bounds import (
    Bound,
    DefaultBound,
    HashBound,
    ListBound,
    OpaqueBound,
    RangeBound,
    Value,
)


class UnreadableValue(Refused):
    def __init__(self, column: str, text: str) -> None:
        super().__init__(
            f'"{column}" holds {text}, which is no point in time between the years 1 and 9999',
            why="no partition can be computed for it",
            fix=f"correct those rows first, e.g. UPDATE … WHERE {column} = '{text}'",
        )


def read_value(text: str, type_: str) -> Value:
    """A value as its type prints it with DateStyle ISO.

    Raises:
        ValueError: Python has no such value: infinity, years before Christ or after 9999.
    """
    match type_:
        case "smallint" | "integer" | "bigint":
            return int(text)
        case "timestamp with time zone" | "timestamp without time zone":
            return datetime.fromisoformat(text)
        case "date":
            return date.fromisoformat(text)
        case "uuid":
            return UUID(text)
        case _ if type_.startswith("numeric"):
            return Decimal(text)
        case _:
            return text


_ITEM = r"(?:'((?:[^']|'')*)'|(-?[\w.]+))"
_RANGE = re.compile(rf"FOR VALUES FROM \({_ITEM}\) TO \({_ITEM}\)")
_HASH = re.compile(r"FOR VALUES WITH \(modulus (\d+), remainder (\d+)\)", re.IGNORECASE)
_LIST = re.compile(r"FOR VALUES IN \((.*)\)", re.DOTALL)


def read_bound(text: str, type_: str) -> Bound:
    """A bound as `pg_get_expr(relpartbound, oid)` prints it for a key of one column of type `type_`."""
    if text == "DEFAULT":
        return DefaultBound()
    if found := _HASH.fullmatch(text):
        return HashBound(int(found[1]), int(found[2]))
    try:
        if found := _RANGE.fullmatch(text):
            lower = None if found[2] == "MINVALUE" else _item(found[1], found[2], type_)
            upper = None if found[4] == "MAXVALUE" else _item(found[3], found[4], type_)
            return RangeBound(lower, upper)
        if found := _LIST.fullmatch(text):
            items = re.findall(rf"{_ITEM}(?:, |\Z)", found[1])
            return ListBound(
                tuple(None if word == "NULL" else _item(quoted, word, type_) for quoted, word in items)
            )
    except ValueError:
        return OpaqueBound(text)
    return OpaqueBound(text)


def _item(quoted: str | None, word: str | None, type_: str) -> Value:
    if word:
        return read_value(word, type_)
    return read_value((quoted or "").replace("''", "'"), type_)
