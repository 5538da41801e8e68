"""Values of a list key, as the settings, a command line and the server write them, in one form for each."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from evolve.plugin_api import Value

# Kinds in which what reads the same need not be the same, or the other way round.
UNFIT = (
    *("bytea", "citext", "double", "hstore", "interval", "inet", "cidr", "json", "jsonb", "money", "real"),
    *("time", "timestamp", "tsquery", "tsvector", "xml"),
)

INTEGERS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
"""The greatest value of each; the least is one further from zero."""

_BLANK_PADDED = re.compile(r"character\((\d+)\)")
_TRUE = ("t", "true", "yes", "on", "1")
_FALSE = ("f", "false", "no", "off", "0")


def fits(type_: str) -> bool:
    words = type_.partition("(")[0].split()
    return bool(words) and words[0] not in UNFIT and not type_.endswith("[]")


def read(item: object, type_: str) -> Value | None:
    """`item` as the server tells it of a column of this type; None where it is no such value."""
    text = item if isinstance(item, str) else str(item)
    padded = _BLANK_PADDED.fullmatch(type_)
    try:
        if type_ in INTEGERS:
            number = int(text)
            inside = -INTEGERS[type_] - 1 <= number <= INTEGERS[type_]
            return number if inside and not isinstance(item, bool) else None
        match type_:
            case "date":
                return None if isinstance(item, datetime) else date.fromisoformat(text)
            case "uuid":
                return UUID(text)
            case "boolean":
                word = text.strip().lower()
                return "true" if word in _TRUE else "false" if word in _FALSE else None
            case _ if type_.startswith("numeric"):
                number_ = Decimal(text)
                return number_ if number_.is_finite() else None
            case _ if padded:
                # The server keeps the blanks in a bound, and drops them where it is asked for text.
                bare = text.rstrip(" ")
                return bare.ljust(int(padded[1])) if len(bare) <= int(padded[1]) else None
            case _:
                return text if "\0" not in text else None
    except (ValueError, InvalidOperation):
        return None
