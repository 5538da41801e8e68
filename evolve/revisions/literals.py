"""Parameters of a statement written into it as SQL literals, so that the text alone says what the server would get."""

from __future__ import annotations

import ipaddress
import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum

_PLACEHOLDER = re.compile(r"%(?:(?P<percent>%)|\((?P<name>[^)]*)\)(?P<kind>[sbt])|(?P<next>[sbt]))")

_QUOTED_ELEMENT = re.compile(r"""[\s{}",\\]|^$|^null$""", re.IGNORECASE)


class CannotAdapt(TypeError):
    """A value that no driver could send either."""

    def __init__(self, value: object) -> None:
        super().__init__(f"cannot adapt type {type(value).__name__!r}")


class Unknown:
    """A value that only a real run would tell; `str()` of it is what stands for it in a statement."""


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A value bound to a json or jsonb column."""

    obj: object
    dumps: object = None


@dataclass(frozen=True, slots=True)
class RangeValue:
    lower: object = None
    upper: object = None
    bounds: str = "[)"
    empty: bool = False


class MultirangeValue(list[object]):
    """Several `RangeValue`, as bound to a multirange column."""


def render(sql: str, parameters: object) -> str:
    """Put `parameters`, a mapping or a sequence, in the place of `%(name)s` and `%s`; `%%` becomes `%`.

    Raises:
        CannotAdapt: a value has no literal.
        KeyError, IndexError: the statement asks for more than it is given, as a driver would say.
    """
    if parameters is None:
        return sql
    named = parameters if isinstance(parameters, Mapping) else None
    listed = parameters if named is None and isinstance(parameters, Sequence) else ()
    used = 0

    def fill(found: re.Match[str]) -> str:
        nonlocal used
        if found["percent"]:
            return "%"
        if found["name"] is not None:
            return literal((named or {})[found["name"]])
        if named is not None or (not listed and not used):
            return found.group()  # `LIKE '%s'` with nothing to fill in
        used += 1
        return literal(listed[used - 1])

    return _PLACEHOLDER.sub(fill, sql)


def literal(value: object) -> str:
    """The SQL literal of one value, typed where its text alone would not say what it is."""
    match value:
        case None:
            return "NULL"
        case Unknown():
            return quoted(str(value))
        case bool():
            return "true" if value else "false"
        case Enum():
            return quoted(value.name)
        case str():
            return quoted(value)
        case int() | Decimal() | float():
            return _number(value)
        case bytes() | bytearray() | memoryview():
            return f"'\\x{bytes(value).hex()}'::bytea"
        case datetime():
            return f"'{value.isoformat(sep=' ')}'::{'timestamp' if value.tzinfo is None else 'timestamptz'}"
        case date():
            return f"'{value.isoformat()}'::date"
        case time():
            return f"'{value.isoformat()}'::{'time' if value.tzinfo is None else 'timetz'}"
        case timedelta():
            return f"'{value.days} days {value.seconds}.{value.microseconds:06d} seconds'::interval"
        case uuid.UUID():
            return f"'{value}'::uuid"
        case JsonValue(obj, dumps):
            text = dumps(obj) if callable(dumps) else json.dumps(obj)
            return quoted(str(text))
        case RangeValue():
            return quoted(_range(value))
        case MultirangeValue():
            return quoted(
                "{" + ",".join(_range(item) for item in value if isinstance(item, RangeValue)) + "}"
            )
        case Mapping():
            return quoted(json.dumps(dict(value)))
        case tuple():
            return f"({', '.join(literal(item) for item in value)})"  # IN (…), as psycopg2 writes it
        case list():
            return _array(value)
        case (
            ipaddress.IPv4Address()
            | ipaddress.IPv6Address()
            | ipaddress.IPv4Network()
            | ipaddress.IPv6Network()
            | ipaddress.IPv4Interface()
            | ipaddress.IPv6Interface()
        ):
            return quoted(str(value))
        case _:
            return _adapted(value)


def quoted(text: str) -> str:
    if "\0" in text:
        message = "a text cannot hold a NUL character"
        raise ValueError(message)
    # A plain string's own methods: a subclass such as quoted_name may have others.
    return "'" + str.replace(text, "'", "''") + "'"


def _number(value: float | Decimal) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            return f"'{value}'::numeric"
        text = format(value, "f")
    elif isinstance(value, int):
        text = int.__repr__(value)
    elif not math.isfinite(value):
        return f"'{float.__repr__(value)}'::float8"
    else:
        text = float.__repr__(value)
    # A sign binds weaker than a cast, and after a minus it would begin a comment.
    return f"({text})" if text.startswith("-") else text


def _array(items: list[object]) -> str:
    # Texts go untyped, as psycopg sends them: the array may be one of an enum; and ARRAY[] has no type at all.
    if all(isinstance(item, str | Enum | None) for item in _leaves(items)):
        return quoted(_array_text(items))
    return f"ARRAY[{', '.join(literal(item) for item in items)}]"


def _leaves(items: list[object]) -> Iterator[object]:
    for item in items:
        if isinstance(item, list):
            yield from _leaves(item)
        else:
            yield item


def _array_text(items: list[object]) -> str:
    parts: list[str] = []
    for item in items:
        if item is None:
            parts.append("NULL")
        elif isinstance(item, list):
            parts.append(_array_text(item))
        else:
            text = item.name if isinstance(item, Enum) else str(item)
            escaped = text.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'"{escaped}"' if _QUOTED_ELEMENT.search(text) else text)
    return "{" + ",".join(parts) + "}"


def _range(value: RangeValue) -> str:
    if value.empty:
        return "empty"
    return f"{value.bounds[0]}{_bound(value.lower)},{_bound(value.upper)}{value.bounds[1]}"


def _bound(value: object) -> str:
    if value is None:
        return ""
    text = value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _adapted(value: object) -> str:
    """Wrappers of the drivers: psycopg2's `Json` and `AsIs`, psycopg's `Json` and `Jsonb`."""
    kind = type(value).__name__
    if type(value).__module__.startswith(("psycopg2", "psycopg")):
        if kind in ("Json", "Jsonb"):
            inner = getattr(value, "adapted", getattr(value, "obj", None))
            dumps = getattr(value, "dumps", None)
            return literal(JsonValue(inner, dumps))
        if kind == "AsIs":
            return str(getattr(value, "adapted", value))
    raise CannotAdapt(value)
