"""Which PostgreSQL type a type of SQLAlchemy, or of Python in `Mapped[…]`, stands for."""

from __future__ import annotations

# As format_type() writes them, without modifiers.
SQL = {
    "ARRAY": None,
    "BIGINT": "bigint",
    "BOOLEAN": "boolean",
    "BYTEA": "bytea",
    "BigInteger": "bigint",
    "Boolean": "boolean",
    "CHAR": "character",
    "CITEXT": "citext",
    "DATE": "date",
    "DOUBLE_PRECISION": "double precision",
    "Date": "date",
    "DateTime": "timestamp without time zone",
    "Double": "double precision",
    "FLOAT": "double precision",
    "Float": "double precision",
    "INET": "inet",
    "INTEGER": "integer",
    "INTERVAL": "interval",
    "Integer": "integer",
    "Interval": "interval",
    "JSON": "json",
    "JSONB": "jsonb",
    "LargeBinary": "bytea",
    "NUMERIC": "numeric",
    "Numeric": "numeric",
    "REAL": "real",
    "SMALLINT": "smallint",
    "SmallInteger": "smallint",
    "String": "character varying",
    "TEXT": "text",
    "TIME": "time without time zone",
    "TIMESTAMP": "timestamp without time zone",
    "TSVECTOR": "tsvector",
    "Text": "text",
    "Time": "time without time zone",
    "UUID": "uuid",
    "Unicode": "character varying",
    "UnicodeText": "text",
    "Uuid": "uuid",
    "VARCHAR": "character varying",
}

# What `Mapped[…]` gives without a type of its own.
PYTHON = {
    "bool": "Boolean",
    "bytes": "LargeBinary",
    "datetime.date": "Date",
    "datetime.datetime": "DateTime",
    "datetime.time": "Time",
    "datetime.timedelta": "Interval",
    "decimal.Decimal": "Numeric",
    "float": "Float",
    "int": "Integer",
    "str": "String",
    "uuid.UUID": "Uuid",
}

# What the value of a parameter is cast to: the drivers psycopg 3 and asyncpg of SQLAlchemy write `$1::VARCHAR`. Others,
# such as numeric and uuid, are sent so that the server works their type out.
CAST = {
    "bigint": "bigint",
    "boolean": "boolean",
    "character": "character varying",
    "character varying": "character varying",
    "date": "date",
    "integer": "integer",
    "interval": "interval",
    "smallint": "smallint",
    "text": "character varying",
    "time without time zone": "time without time zone",
    "timestamp without time zone": "timestamp without time zone",
    "timestamp with time zone": "timestamp with time zone",
}

_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
_TEXTS = frozenset({"text", "character varying", "character", "bpchar", "name", '"char"', "citext"})
_TIMES = frozenset({"date", "timestamp without time zone", "timestamp with time zone"})

# source → targets with an implicit or an assignment cast in pg_cast; every type has one to the texts.
_STORED = {
    "smallint": _NUMBERS,
    "integer": _NUMBERS | {"money"},
    "bigint": _NUMBERS | {"money"},
    "date": _TIMES,
    "timestamp without time zone": _TIMES | {"time without time zone"},
    "timestamp with time zone": _TIMES | {"time without time zone", "time with time zone"},
    "time without time zone": frozenset({"interval", "time with time zone"}),
    "interval": frozenset({"time without time zone"}),
    "boolean": frozenset[str](),
    "character varying": frozenset[str](),
}
_KNOWN = _NUMBERS | _TEXTS | _TIMES | frozenset(SQL.values()) | {"money", "time with time zone"}


def assignable(source: str, target: str) -> bool | None:
    """Whether PostgreSQL stores a value of type `source` in a column of `target` unasked; None where it is unknown.

    Both without modifiers.
    """
    if source == target or target in _TEXTS:
        return True
    if source not in _STORED or target not in _KNOWN:
        return None
    return target in _STORED[source]
