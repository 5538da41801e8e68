"""Which index method holds which built-in types by a default operator class: measured on PostgreSQL 14 to 18."""

from __future__ import annotations

from evolve.sql.schema import Schema
from evolve.sql.types import base

_ORDERED = frozenset(
    {
        '"char"',
        "bigint",
        "bytea",
        "character",
        "date",
        "double precision",
        "inet",
        "integer",
        "interval",
        "macaddr",
        "macaddr8",
        "name",
        "numeric",
        "oid",
        "range",
        "real",
        "smallint",
        "text",
        "tid",
        "time with time zone",
        "time without time zone",
        "timestamp with time zone",
        "timestamp without time zone",
        "uuid",
    }
)
_BITS = frozenset({"bit", "bit varying"})
_ALSO_COMPARED = frozenset({"array", "boolean", "enum", "jsonb", "multirange", "xid8"})

HELD = {
    "btree": _ORDERED | _BITS | _ALSO_COMPARED | {"money", "tsquery", "tsvector"},
    "hash": _ORDERED | _ALSO_COMPARED | {"aclitem", "cid", "xid"},
    "brin": _ORDERED | _BITS | {"box"},
    "gin": frozenset({"array", "jsonb", "tsvector"}),
    "gist": frozenset({"box", "circle", "multirange", "point", "polygon", "range", "tsquery", "tsvector"}),
    "spgist": frozenset({"box", "inet", "point", "polygon", "range", "text"}),
}
_ALIKE = {"character varying": "text", "cidr": "inet", "bpchar": "character"}
_RANGES = frozenset({"int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"})
_MULTIRANGES = frozenset(name.replace("range", "multirange") for name in _RANGES)
# Built in, and in no class at all or in few.
_OTHERS = frozenset({"json", "jsonpath", "line", "lseg", "path", "xml"})
_KNOWN = frozenset().union(_OTHERS, *HELD.values())


def holds(method: str, type_: str, schema: Schema) -> bool | None:
    """Whether an index of `method` takes a column of `type_` as it is; None where one of the two is not known.

    Types are spelled as `format_type` does, a domain counts as its base type. Classes that an extension adds are not
    known here.
    """
    classes = HELD.get(method)
    kind = _kind(type_, schema)
    return None if classes is None or kind is None else kind in classes


def _kind(type_: str, schema: Schema) -> str | None:
    domain = schema.domain(type_)
    if domain is not None:
        return _kind(domain.base, schema)
    if type_.endswith("[]"):
        return "array"
    name = base(type_)
    if schema.is_enum(name):
        return "enum"
    if name in _RANGES:
        return "range"
    if name in _MULTIRANGES:
        return "multirange"
    name = _ALIKE.get(name, name)
    return name if name in _KNOWN else None
