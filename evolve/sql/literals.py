"""Which constants a type takes: what PostgreSQL says of the default of a column, before and after it is stored."""

from __future__ import annotations

import json
import re
from decimal import Decimal

from evolve.sql.operations import Expression
from evolve.sql.parse import types_in
from evolve.sql.schema import Schema
from evolve.sql.type_casts import assigned
from evolve.sql.types import base, modifiers
from evolve.values import dataclass

_QUOTED = re.compile(r"'((?:[^'\\]|'')*)'(?:::.+)?", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")
_UUID = re.compile(r"\{?([0-9a-f]{4}-?){8}\}?", re.IGNORECASE)
_SIMPLE_ARRAY = re.compile(r"\{([\w ]+(?:,[\w ]+)*)\}")
# Words that stand for a moment; what else has no digit is none.
_MOMENTS = ("now", "today", "tomorrow", "yesterday", "epoch", "infinity", "allballs")
_TRUTHS = ("true", "false", "yes", "no", "on", "off", "1", "0")
# What the functions give that stand in most defaults.
_GIVEN = {
    "now()": "timestamp with time zone",
    "current_timestamp": "timestamp with time zone",
    "clock_timestamp()": "timestamp with time zone",
    "current_date": "date",
    "gen_random_uuid()": "uuid",
    "uuid_generate_v4()": "uuid",
    "random()": "double precision",
}
_BITS = {"smallint": 15, "integer": 31, "bigint": 63}
_STRINGS = frozenset({"character varying", "character"})
_TIMES = frozenset(
    {
        "date",
        "time without time zone",
        "time with time zone",
        "timestamp without time zone",
        "timestamp with time zone",
    }
)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a column does not take a default.

    Args:
        reason: a clause without a full stop, such as `'abc' is no integer`.
        when_used: the default is stored, and each row that it is computed for is refused.
    """

    reason: str
    when_used: bool = False


def misfit(default: Expression, type_: str, schema: Schema) -> Misfit | None:
    """What is wrong with `default` for a column of `type_`, spelled as `format_type` does; None where it is not known.

    A domain counts as its base type, without its CHECKs.
    """
    domain = schema.domain(type_)
    if domain is not None:
        type_ = domain.base
    if default.columns:
        return Misfit(f"{default.sql} names a column, which no default may; a text is quoted once more")
    if not default.constant:
        own = _GIVEN.get(default.sql.lower())
        return _of_type(default.sql, own, type_, schema) if own is not None else None
    text = _QUOTED.fullmatch(default.sql)
    if text is None:
        return _of_another_type(default.sql, type_, schema)
    value = text[1].replace("''", "'")
    match types_in(default):
        case ():
            return _refused(value, type_, schema)
        case (cast,):
            wrong = _refused(value, cast, schema)
            if wrong is not None and not wrong.when_used:
                return wrong
            return _of_type(default.sql, cast, type_, schema)
        case _:
            return None


def _of_type(sql: str, own: str, type_: str, schema: Schema) -> Misfit | None:
    if assigned(own, type_, schema) is not False:
        return None
    return Misfit(f"{sql} is of type {own}, which does not become {type_} by itself")


def _of_another_type(sql: str, type_: str, schema: Schema) -> Misfit | None:
    """Of a number or a truth value, which have types of their own."""
    if sql.lower() in ("true", "false"):
        own = "boolean"
    elif _NUMBER.fullmatch(sql):
        own = _type_of(sql)
    else:
        return None
    wrong = _of_type(sql, own, type_, schema)
    if wrong is not None or type_.endswith("[]"):
        return wrong
    if base(type_) in _STRINGS:
        return _refused(sql if own == "boolean" else f"{Decimal(sql):f}", type_, schema)
    return _too_large(sql, type_) if own != "boolean" else None


def _type_of(number: str) -> str:
    if not _WHOLE.fullmatch(number):
        return "numeric"
    return next((name for name in ("integer", "bigint") if _fits(number, name)), "numeric")


def _fits(number: str, type_: str) -> bool:
    largest = 1 << _BITS[type_]
    return -largest <= round(Decimal(number)) < largest


def _too_large(number: str, type_: str) -> Misfit | None:
    kind, limits = base(type_), modifiers(type_)
    if kind in _BITS and not _fits(number, kind):
        return Misfit(f"{number} is out of the range of {type_}", when_used=True)
    if kind == "numeric" and len(limits) == 2 and 0 <= limits[1] <= limits[0]:
        precision, scale = limits
        if abs(round(Decimal(number), scale)) >= 10 ** (precision - scale):
            return Misfit(f"{number} is out of the range of {type_}", when_used=True)
    return None


def _refused(value: str, type_: str, schema: Schema) -> Misfit | None:
    """Of a quoted constant, which PostgreSQL reads as one of `type_`."""
    if type_.endswith("[]"):
        return _no_array(value, type_, schema)
    enum = next((enum for enum in schema.enums.values() if str(enum.name) == type_), None)
    if enum is not None:
        # What was not read may have added it.
        if value in enum.values or schema.gaps:
            return None
        return Misfit(f"'{value}' is no value of the enum {type_}")
    kind = base(type_)
    if kind in _STRINGS:
        limits = modifiers(type_)
        # Blanks at the end are cut off in silence.
        if limits and value[limits[0] :].strip(" "):
            return Misfit(f"'{value}' is longer than {type_}", when_used=True)
        return None
    return None if _is_one(value.strip(), kind) else Misfit(f"'{value}' is no {kind}")


def _is_one(value: str, kind: str) -> bool:
    """True as well where it is not known."""
    match kind:
        case "smallint" | "integer" | "bigint":
            return (bool(_WHOLE.fullmatch(value)) and _fits(value, kind)) or _is_new_number(value)
        case "numeric" | "real" | "double precision":
            named = value.lower().lstrip("+-") in ("nan", "inf", "infinity")
            return named or bool(_NUMBER.fullmatch(value)) or _is_new_number(value)
        case "boolean":
            met = [truth for truth in _TRUTHS if truth.startswith(value.lower())]
            return bool(value) and len(met) == 1
        case "uuid":
            return bool(_UUID.fullmatch(value))
        case "json" | "jsonb":
            return _is_json(value)
        case _ if kind in _TIMES:
            return any(letter.isdigit() for letter in value) or any(w in value.lower() for w in _MOMENTS)
        case "interval":
            return any(letter.isdigit() for letter in value) or "infinity" in value.lower()
        case _:
            return True


def _is_new_number(value: str) -> bool:
    """As PostgreSQL 16 reads them: 0x1F and 1_000."""
    return bool(re.fullmatch(r"[+-]?(0[xob][0-9a-f_]+|[0-9.]+_[0-9_.e+-]+)", value, re.IGNORECASE))


def _is_json(value: str) -> bool:
    try:
        json.loads(value, parse_constant=_no_constant)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _no_constant(word: str) -> None:
    """Python's reader takes NaN and Infinity."""
    raise ValueError(word)


def _no_array(value: str, type_: str, schema: Schema) -> Misfit | None:
    inside = value.strip()
    if not (inside.startswith("{") or (inside.startswith("[") and "=" in inside)):
        return Misfit(f"'{value}' is no array: one is written '{{…}}'")
    simple = _SIMPLE_ARRAY.fullmatch(inside)
    element = type_.removesuffix("[]")
    for part in simple[1].split(",") if simple else ():
        wrong = _refused(part.strip(), element, schema) if part.strip().lower() != "null" else None
        if wrong is not None and not wrong.when_used:
            return wrong
    return None
