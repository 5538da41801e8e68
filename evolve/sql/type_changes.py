"""What ALTER COLUMN … TYPE costs between two types: nothing, a new check of constraints and indexes, or a rewrite."""

from __future__ import annotations

from enum import Enum

from evolve.sql.operations import Expression
from evolve.sql.parse import types_in
from evolve.sql.types import base, modifiers
from evolve.values import dataclass


class Cost(Enum):
    """What happens to the table's rows."""

    NOTHING = "nothing"
    REWRITE = "every row and every index is written anew"
    # timestamp ↔ timestamp with time zone: their bytes are equal where the session's TimeZone is UTC.
    REWRITE_UNLESS_UTC = "every row is written anew unless the session's TimeZone is UTC"


@dataclass(frozen=True, slots=True)
class TypeChange:
    """The cost of a change.

    Args:
        cost: for the rows.
        rebuilds_indexes: indexes over the column are built anew although the rows stay.
        narrows: some value of the old type does not fit the new one: the statement can fail, or round.
    """

    cost: Cost
    rebuilds_indexes: bool = False
    narrows: bool = False


_NOTHING = TypeChange(Cost.NOTHING)
_REWRITE = TypeChange(Cost.REWRITE, rebuilds_indexes=True)

# Binary-coercible pairs without a length on the new side: (old, new) → indexes over it are built anew.
_SAME_BYTES: dict[tuple[str, str], bool] = {
    ("character varying", "text"): False,
    ("text", "character varying"): False,
    ("character varying", "bpchar"): True,
    ("text", "bpchar"): True,
    ("citext", "bpchar"): True,
    ("xml", "bpchar"): True,
    ("character", "bpchar"): False,
    ("citext", "text"): True,
    ("text", "citext"): True,
    ("citext", "character varying"): True,
    ("character varying", "citext"): True,
    ("xml", "text"): True,
    ("xml", "character varying"): True,
    ("cidr", "inet"): False,
    ("bit", "bit varying"): True,
    ("bit varying", "bit"): True,
    ("integer", "oid"): True,
    ("oid", "integer"): True,
    ("integer", "regclass"): True,
    ("oid", "regclass"): False,
    ("regclass", "oid"): False,
    ("regclass", "integer"): True,
}

_ZONES = ("timestamp without time zone", "timestamp with time zone")
_TIMES = (*_ZONES, "time without time zone", "time with time zone")
_INTEGERS = ("smallint", "integer", "bigint")
_UNLIMITED = 6  # digits of a second that a timestamp without a precision keeps


def type_change(
    old: str,
    new: str,
    *,
    old_collation: str | None = None,
    new_collation: str | None = None,
    constrained_domain: bool = False,
) -> TypeChange:
    """Judge a change between two types spelled as `format_type` spells them.

    Args:
        old: what it is now; a domain stands as its base type.
        new: what it is to be; a domain stands as its base type.
        old_collation: None is the default collation.
        new_collation: None is the default collation.
        constrained_domain: the new type is a domain with NOT NULL or CHECK: rows are always read and written.
    """
    if constrained_domain:
        return TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=True)
    recollated = old_collation != new_collation
    if old == new:
        return TypeChange(Cost.NOTHING, rebuilds_indexes=recollated)
    change = _array(old, new) if old.endswith("[]") or new.endswith("[]") else _scalar(old, new)
    if recollated and change.cost is Cost.NOTHING:
        return TypeChange(Cost.NOTHING, rebuilds_indexes=True, narrows=change.narrows)
    return change


def _array(old: str, new: str) -> TypeChange:
    if not (old.endswith("[]") and new.endswith("[]")):
        return TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=True)
    if base(old) == base(new) and not modifiers(new):
        return _NOTHING  # the elements only lose their limit
    element = _scalar(old.removesuffix("[]"), new.removesuffix("[]"))
    return TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=element.narrows)


def _scalar(old: str, new: str) -> TypeChange:
    old_base, new_base = base(old), base(new)
    if old_base.startswith("interval") and new_base.startswith("interval"):
        return _interval(old, new)
    old_numbers, new_numbers = modifiers(old), modifiers(new)
    if old_base == new_base:
        return _length(old_base, old_numbers, new_numbers)
    if {old_base, new_base} == set(_ZONES):
        if _digits(new_numbers) < _digits(old_numbers):
            return TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=True)
        return TypeChange(Cost.REWRITE_UNLESS_UTC, rebuilds_indexes=True)
    pair = (old_base, new_base)
    if pair in _SAME_BYTES and not new_numbers:
        return TypeChange(Cost.NOTHING, rebuilds_indexes=_SAME_BYTES[pair])
    return TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=_narrows(old_base, new_base, new_numbers))


def _length(kind: str, old: tuple[int, ...], new: tuple[int, ...]) -> TypeChange:
    """The same type with another length, precision or scale."""
    narrower = TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=True)
    match kind:
        case "character varying" | "bit varying":
            return _NOTHING if not new or (old and new[0] >= old[0]) else narrower
        case "numeric":
            if not new or (old and new[0] >= old[0] and new[1] == old[1]):
                return _NOTHING
            fits = bool(old) and new[0] - new[1] >= old[0] - old[1] and new[1] >= old[1]
            return TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=not fits)
        case "character" | "bit":
            # Padded to their length: a longer one has other bytes.
            fits = bool(old) and bool(new) and new[0] >= old[0]
            return TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=not fits)
        case _ if kind in _TIMES:
            return _NOTHING if _digits(new) >= _digits(old) else narrower
        case _:
            return _REWRITE


def _interval(old: str, new: str) -> TypeChange:
    """Fields that reach down to seconds keep all there is."""
    whole = base(new) == "interval" or base(new).endswith("second")
    if whole and _digits(modifiers(new)) >= _digits(modifiers(old)):
        return _NOTHING
    return TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=True)


def _digits(precision: tuple[int, ...]) -> int:
    return precision[0] if precision else _UNLIMITED


def _narrows(old: str, new: str, new_numbers: tuple[int, ...]) -> bool:
    """Whether a value of `old` may not fit `new`; what is not known to fit is said not to."""
    if old in _INTEGERS:
        if new in _INTEGERS:
            return _INTEGERS.index(new) < _INTEGERS.index(old)
        if new == "numeric":
            return bool(new_numbers)
        if new == "double precision":
            return old == "bigint"
    if new in ("text", "character varying") and not new_numbers:
        return False
    widening = {
        ("real", "double precision"),
        ("date", "timestamp without time zone"),
        ("date", "timestamp with time zone"),
        ("json", "jsonb"),
        ("jsonb", "json"),
        ("character", "bpchar"),
    }
    return (old, new) not in widening


def plain_cast(using: Expression | None, column: str, type_: str) -> bool:
    """True where USING says no more than the change to `type_` does: no USING, the column, or a cast of it to that.

    A cast to another type on the way makes other values, or at least has PostgreSQL write every row.
    """
    if using is None:
        return True
    if using.columns != (column,) or using.functions or not _is_cast_of(using.sql, column):
        return False
    return types_in(using) in ((), (type_,))


def _is_cast_of(sql: str, column: str) -> bool:
    bare = sql.strip()
    while bare.startswith("(") and bare.endswith(")"):
        bare = bare[1:-1].strip()
    head = bare.split("::", maxsplit=1)[0].strip().strip("()")
    return head.rsplit(".", maxsplit=1)[-1].strip('"') == column
