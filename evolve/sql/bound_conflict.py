"""Why PostgreSQL refuses the bound of a new partition: it is empty, of another method, or another one has its keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from uuid import UUID

from evolve.sql.operations import PartitionBy
from evolve.sql.parse import bound_values
from evolve.sql.schema import Table

# One key of a range: MINVALUE, then the values in their order, then MAXVALUE.
_Point = tuple[int, object]
_HASH = re.compile(r"FOR VALUES WITH \(modulus (\d+), remainder (\d+)\)", re.IGNORECASE)
_LITERAL = re.compile(r"'((?:[^']|'')*)'(?:::[\w \[\]\"().]+)?")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def conflict(parent: Table, bound: str, partitions: Iterable[Table]) -> str | None:
    """Why no partition with `bound` can join `parent` beside `partitions`; None where nothing is known against it.

    What cannot be compared here, such as a bound that calls a function or a range of text, which sorts by its
    collation, is not judged.
    """
    by = parent.partition_by
    if by is None:
        return None
    others = [(other, other.bound) for other in partitions if other.bound is not None]
    if bound == "DEFAULT":
        if by.method == "hash":
            return "a table that is partitioned by hash has no DEFAULT partition"
        taken = next((other for other, theirs in others if theirs == "DEFAULT"), None)
        return f'"{taken.name.plain}" is the DEFAULT partition already' if taken is not None else None
    if _method(bound) != by.method:
        return f"the table is partitioned by {by.method}, and the bound is not"
    types = [_type(parent, key) for key in by.keys]
    wrong = _wrong(bound, by, types)
    if wrong is not None:
        return wrong
    for other, theirs in others:
        if theirs != "DEFAULT" and _meet(bound, theirs, by, types):
            return f'keys of it belong to "{other.name.plain}" already ({theirs})'
    if by.method == "hash":
        return _factors(bound, [theirs for _, theirs in others])
    return None


def all_outside(texts: Sequence[str], bound: str, type_: str) -> bool:
    """True where none of the values, literals for a key of `type_`, belongs to `bound`; False as well where that is
    not known.
    """
    kind, low, high = bound_values(bound) or ("", (), ())
    values = [_value(text, type_) for text in texts]
    if None in values:
        return False
    if kind == "list":
        taken = [_value(text, type_) for text in low]
        return None not in taken and not any(value in taken for value in values)
    start, end = _points(low, [type_]), _points(high, [type_])
    if start is None or end is None or not len(start) == len(end) == 1:
        return False
    points = [_points((text,), [type_]) for text in texts]
    return all(point is not None and (_below(point, start) or _at_or_above(point, end)) for point in points)


def _method(bound: str) -> str:
    values = bound_values(bound)
    return values[0] if values is not None else "hash"


def _type(parent: Table, key: str) -> str:
    column = parent.column(key)
    return column.type if column is not None else ""


def _wrong(bound: str, by: PartitionBy, types: Sequence[str]) -> str | None:
    """What is wrong about the bound alone."""
    if by.method == "hash":
        modulus, remainder = _hashed(bound)
        return "the remainder has to be less than the modulus" if remainder >= modulus else None
    if by.method == "list":
        return None
    _, low, high = bound_values(bound) or ("range", (), ())
    if not len(low) == len(high) == len(by.keys):
        return f"FROM and TO take one value for each of {', '.join(by.keys)}"
    lower, upper = _points(low, types), _points(high, types)
    empty = lower is not None and upper is not None and _at_or_above(lower, upper)
    return "the range is empty: FROM has to lie below TO" if empty else None


def _meet(one: str, other: str, by: PartitionBy, types: Sequence[str]) -> bool:
    """True where some key surely belongs to both."""
    if by.method == "hash":
        (small, low), (large, high) = sorted((_hashed(one), _hashed(other)))
        return large % small == 0 and high % small == low
    _, first, first_end = bound_values(one) or ("", (), ())
    _, second, second_end = bound_values(other) or ("", (), ())
    if by.method == "list":
        return not _listed(first, types[0]).isdisjoint(_listed(second, types[0]))
    points = [_points(side, types) for side in (first, first_end, second, second_end)]
    start, end, other_start, other_end = points
    if start is None or end is None or other_start is None or other_end is None:
        return False
    return _below(start, other_end) and _below(other_start, end)


def _factors(bound: str, others: Sequence[str]) -> str | None:
    moduli = sorted({_hashed(each)[0] for each in (bound, *others) if each != "DEFAULT"})
    for small, large in pairwise(moduli):
        if large % small:
            return f"each modulus has to be a factor of the next, and {small} is none of {large}"
    return None


def _hashed(bound: str) -> tuple[int, int]:
    found = _HASH.fullmatch(bound)
    return (int(found[1]), int(found[2])) if found else (1, 0)


# -- values -------------------------------------------------------------------------------------------------
def _points(texts: Sequence[str], types: Sequence[str]) -> tuple[_Point, ...] | None:
    """The end of a range; None where one of its values cannot be ordered here."""
    points: list[_Point] = []
    for text, type_ in zip(texts, types, strict=False):
        if text in ("MINVALUE", "MAXVALUE"):
            points.append((-1 if text == "MINVALUE" else 1, 0))
            continue
        value = _value(text, type_)
        if value is None or isinstance(value, str):
            return None
        points.append((0, value))
    return tuple(points)


def _listed(texts: Sequence[str], type_: str) -> frozenset[object]:
    """The values of a list; one of a type that is not known here equals what is written alike."""
    known = ((text, _value(text, type_)) for text in texts)
    plain = ((text, value) for text, value in known if value is not None or _is_constant(text))
    return frozenset(("as written", text) if value is None else value for text, value in plain)


def _is_constant(text: str) -> bool:
    return text.upper() == "NULL" or bool(_LITERAL.fullmatch(text) or _NUMBER.fullmatch(text))


def _below(one: tuple[_Point, ...], other: tuple[_Point, ...]) -> bool:
    try:
        return one < other
    except TypeError:  # one time of day has a zone and the other has none
        return False


def _at_or_above(one: tuple[_Point, ...], other: tuple[_Point, ...]) -> bool:
    return one == other or _below(other, one)


def _value(text: str, type_: str) -> object | None:
    """The value that a literal stands for in a column of that type; None where it is not known."""
    quoted = _LITERAL.fullmatch(text)
    plain = quoted[1].replace("''", "'") if quoted else text
    if not quoted and not _NUMBER.fullmatch(text):
        return None
    try:
        match type_:
            case "smallint" | "integer" | "bigint":
                return int(plain)
            case "date":
                return date.fromisoformat(plain)
            case "timestamp with time zone" | "timestamp without time zone":
                return datetime.fromisoformat(plain)
            case "uuid":
                return UUID(plain)
            case "text" | "character varying":
                return plain
            case _ if type_.startswith("numeric"):
                return Decimal(plain)
            case _ if type_.startswith("character varying("):
                return plain
            case _:
                return None
    except (ValueError, InvalidOperation):
        return None
