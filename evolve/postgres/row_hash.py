"""A number that tells what values columns hold, which no session setting can change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import LiteralString

from psycopg import sql

# Types whose equal values are the same bytes, with what hashes those bytes. It must not heed the column's collation.
_BYTES: dict[str, LiteralString] = {
    "smallint": "hashint8({}::bigint)",
    "integer": "hashint8({}::bigint)",
    # hashint8 alone folds one half over the other: 5 and 5 * 2^32 are the same to it.
    "bigint": "hashint8({0}) # ({0} >> 32)::integer",
    "uuid": "uuid_hash({})",
    "text": 'hashtext({} COLLATE "C")',
    "character varying": 'hashtext({}::text COLLATE "C")',
}


def row_hash(columns: Iterable[sql.Composable]) -> sql.Composed:
    """A bigint, of the binary form of the values. A type may have none: then it raises 42883."""
    return sql.SQL("hashtextextended(encode(record_send(ROW({})), 'hex'), 0)").format(
        sql.SQL(", ").join(columns)
    )


def small_row_hash(columns: Iterable[sql.Composable]) -> sql.Composed:
    """The same in four bytes, an integer: two different rows have the same in one of four billion cases."""
    return sql.SQL("hashtext(encode(record_send(ROW({})), 'hex'))").format(sql.SQL(", ").join(columns))


def value_hash(column: sql.Composable, kind: str) -> sql.Composed | None:
    """Four bytes for one value of a type, at a fifth of the price; None for a type that has only the form above."""
    function = _BYTES.get(kind.partition("(")[0])
    if function is None:
        return None
    return sql.SQL("coalesce({}, 0)").format(sql.SQL(function).format(column))


# Types that hash_record_extended hashes byte for byte. A numeric hashes alike whatever its scale, a citext whatever its
# case: those go by their text, and so does every type that has no hash at all.
_EXACT = frozenset({"smallint", "integer", "boolean", "uuid", "bytea", "date"})
# Types of eight bytes, whose hash folds one half over the other: -1 and 4294967295 are the same to it.
_FOLDED: dict[str, LiteralString] = {
    "bigint": "int8send({})",
    "timestamp with time zone": "timestamptz_send({})",
    "timestamp without time zone": "timestamp_send({})",
    "time without time zone": "time_send({})",
}
_TEXTS = frozenset({"text", "character varying"})


def exact_hash(columns: Iterable[tuple[str, str]]) -> sql.Composed:
    """A bigint, different for values that look different; a third of the price of hashing the row's text.

    Args:
        columns: names with their types, as `format_type` writes them.
    """
    return sql.SQL("hash_record_extended(ROW({}), 0)").format(
        sql.SQL(", ").join(_exactly(sql.Identifier(name), kind) for name, kind in columns)
    )


def _exactly(column: sql.Composable, kind: str) -> sql.Composable:
    plain = re.sub(r"\(.*?\)", "", kind)
    if plain in _EXACT:
        return column
    if plain in _FOLDED:
        return sql.SQL(_FOLDED[plain]).format(column)
    cast = sql.SQL("" if plain in _TEXTS else "::text")
    return sql.SQL('{}{} COLLATE "C"').format(column, cast)
