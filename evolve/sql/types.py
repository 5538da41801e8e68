"""How PostgreSQL's `format_type` spells a type, given its internal name and its modifiers."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.sql.names import quote

# pg_type.typname → the SQL standard's words, where format_type prints those.
_WORDS = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "varchar": "character varying",
    "varbit": "bit varying",
    "bit": "bit",
    "numeric": "numeric",
    "interval": "interval",
}

# The parser turns the standard's words into pg_catalog names; these stand for a word of the user's that it
# leaves.
_ALIASES = {"decimal": "numeric", "int": "int4", "integer": "int4", "bigint": "int8", "smallint": "int2"}

SERIAL = {
    "serial": "integer",
    "serial4": "integer",
    "bigserial": "bigint",
    "serial8": "bigint",
    "smallserial": "smallint",
    "serial2": "smallint",
}

_ZONED = {
    "timestamp": ("timestamp", "without time zone"),
    "timestamptz": ("timestamp", "with time zone"),
    "time": ("time", "without time zone"),
    "timetz": ("time", "with time zone"),
}

# Bits of an interval's first modifier (INTERVAL_MASK in utils/timestamp.h), as the grammar combines them.
_INTERVAL_FIELDS = {
    4: "year",
    2: "month",
    8: "day",
    1024: "hour",
    2048: "minute",
    4096: "second",
    6: "year to month",
    1032: "day to hour",
    3080: "day to minute",
    7176: "day to second",
    3072: "hour to minute",
    7168: "hour to second",
    6144: "minute to second",
}


def spell(names: Sequence[str], modifiers: Sequence[str] = (), *, array: bool = False) -> str:
    """Spell a type as `format_type` does.

    Args:
        names: as parsed: ("pg_catalog", "int4"), ("mood",), ("app", "mood").
        modifiers: what stands in parentheses, as text; for an interval its field mask comes first.
        array: whether it is an array; PostgreSQL keeps no number of dimensions.
    """
    if len(names) > 1 and names[-2] == "pg_catalog":
        written = _builtin(names[-1], modifiers)
    elif len(names) > 1 and names[-2] != "public":
        written = f"{quote(names[-2])}.{quote(names[-1])}{_parenthesised(modifiers)}"
    else:
        written = _builtin(names[-1], modifiers)
    return f"{written}[]" if array else written


def _builtin(name: str, modifiers: Sequence[str]) -> str:
    name = _ALIASES.get(name, name)
    if name in _ZONED:
        head, tail = _ZONED[name]
        return f"{head}{_parenthesised(modifiers)} {tail}"
    if name == "interval":
        return _interval(modifiers)
    if name == "numeric" and len(modifiers) == 1:
        return f"numeric({modifiers[0]},0)"
    if name == "bpchar":
        return f"character({modifiers[0]})" if modifiers else "bpchar"
    if name == "char" and not modifiers:
        return '"char"'  # the one-byte type, not character(1): the parser calls that one bpchar
    if name in _WORDS:
        return f"{_WORDS[name]}{_parenthesised(modifiers)}"
    return f"{quote(name)}{_parenthesised(modifiers)}"


def _interval(modifiers: Sequence[str]) -> str:
    fields = _INTERVAL_FIELDS.get(int(modifiers[0])) if modifiers and modifiers[0].isdigit() else None
    words = f"interval {fields}" if fields else "interval"
    return words + _parenthesised(modifiers[1:])


def _parenthesised(modifiers: Sequence[str]) -> str:
    return f"({','.join(modifiers)})" if modifiers else ""


def base(type_: str) -> str:
    """The type without modifiers and array brackets: "character varying(50)[]" → "character varying"."""
    bare = type_.removesuffix("[]")
    head, bracket, rest = bare.partition("(")
    tail = rest.partition(")")[2] if bracket else ""
    return head + tail


def modifiers(type_: str) -> tuple[int, ...]:
    """The numbers in its parentheses: "numeric(10,2)" → (10, 2); empty where it has none."""
    _, bracket, rest = type_.partition("(")
    inside = rest.partition(")")[0].split(",") if bracket else []
    return tuple(int(part) for part in inside if part.strip().lstrip("-").isdigit())
