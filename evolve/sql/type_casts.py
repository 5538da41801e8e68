"""Which types `ALTER COLUMN … TYPE` turns into which without USING: the casts that PostgreSQL applies on assignment."""

from __future__ import annotations

from evolve.sql.schema import Schema
from evolve.sql.types import base

STRINGS = frozenset({"text", "character varying", "character", "bpchar"})
_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_FLOATS = frozenset({"numeric", "real", "double precision"})
NUMBERS = _INTEGERS | _FLOATS

# What else than itself and a string each type becomes; every type becomes a string.
_ASSIGNED: dict[str, frozenset[str]] = {
    "smallint": NUMBERS | {"oid"},
    "integer": NUMBERS | {"oid", "money"},
    "bigint": NUMBERS | {"oid", "money"},
    "numeric": NUMBERS | {"money"},
    "real": NUMBERS,
    "double precision": NUMBERS,
    "boolean": frozenset(),
    "text": frozenset(),
    "character varying": frozenset(),
    "character": frozenset(),
    "bpchar": frozenset(),
    "bytea": frozenset(),
    "date": frozenset({"timestamp without time zone", "timestamp with time zone"}),
    "timestamp without time zone": frozenset({"date", "timestamp with time zone", "time without time zone"}),
    "timestamp with time zone": frozenset(
        {"date", "timestamp without time zone", "time without time zone", "time with time zone"}
    ),
    "time without time zone": frozenset({"time with time zone", "interval"}),
    "time with time zone": frozenset({"time without time zone"}),
    "interval": frozenset({"time without time zone"}),
    "uuid": frozenset(),
    "json": frozenset({"jsonb"}),
    "jsonb": frozenset({"json"}),
    "inet": frozenset({"cidr"}),
    "cidr": frozenset({"inet"}),
    "macaddr": frozenset(),
    "bit": frozenset({"bit varying"}),
    "bit varying": frozenset({"bit"}),
    "xml": frozenset(),
    "money": frozenset({"numeric"}),
    "oid": frozenset({"integer", "bigint"}),
}

TYPES = frozenset(_ASSIGNED)


def assigned(old: str, new: str, schema: Schema) -> bool | None:
    """Whether a value of `old` becomes one of `new` unasked, as `format_type` spells them; None is not known.

    A domain counts as its base type. A cast that the database's owner has created is not known here.
    """
    old, new = _plain(old, schema), _plain(new, schema)
    one, other = _kind(old, schema), _kind(new, schema)
    if one is None or other is None:
        return None
    if one == other and old.endswith("[]") == new.endswith("[]"):
        return True
    if other in STRINGS and not new.endswith("[]"):
        return True
    if old.endswith("[]") != new.endswith("[]"):
        return False
    return other in STRINGS or other in _ASSIGNED.get(one, frozenset())


def _plain(type_: str, schema: Schema) -> str:
    domain = schema.domain(type_)
    return _plain(domain.base, schema) if domain is not None else type_


def _kind(type_: str, schema: Schema) -> str | None:
    """The type without its length and brackets; None where it is neither built in nor an enum of the schema."""
    kind = base(type_)
    return kind if kind in _ASSIGNED or schema.is_enum(kind) else None
