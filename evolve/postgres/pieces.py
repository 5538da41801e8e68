"""Which rows a piece of a run means, in SQL: keys between two others, and of them those that hash to one slice."""

from __future__ import annotations

from dataclasses import replace
from itertools import product, starmap
from typing import LiteralString

from psycopg import sql

from evolve.backfill.keyset import Key, KeyColumn
from evolve.backfill.ports import BUCKETS, Piece
from evolve.postgres.composing import identifier, type_name, written
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """Which of several texts of a statement a piece takes: texts stay the same, so the server keeps their plans.

    Args:
        opening: no key comes before the piece: it begins with the first key of the range.
        sliced: it takes the rows of one slice only.
        touch: see `Piece`.
    """

    opening: bool
    sliced: bool
    touch: bool


CUTS = tuple(starmap(Cut, product((True, False), repeat=3)))


def cut_of(piece: Piece) -> Cut:
    return Cut(piece.after is None, piece.slices > 1, piece.touch)


def piece_values(piece: Piece) -> dict[str, object]:
    """What the placeholders of a piece's statements stand for."""
    values = range_values(piece.first, piece.after, piece.upto)
    if piece.slices > 1:
        values["slice_from"] = BUCKETS * piece.slice // piece.slices
        values["slice_upto"] = BUCKETS * (piece.slice + 1) // piece.slices
    return values


def range_values(first: Key | None, after: Key | None, upto: Key) -> dict[str, object]:
    """What the placeholders of `keys_between` stand for."""
    low = key_values("first", first) if after is None else key_values("after", after)
    return {**low, **key_values("upto", upto)}


def named(column: KeyColumn, of: sql.Composable | None) -> sql.Composable:
    return identifier(column.name) if of is None else sql.SQL("{}.{}").format(of, identifier(column.name))


def key_text(key: tuple[KeyColumn, ...]) -> sql.Composed:
    """An array of the key's columns, spelled so that it reads back the same under every DateStyle and TimeZone."""
    return sql.SQL("ARRAY[{}]").format(
        sql.SQL(", ").join(sql.SQL("to_jsonb({}) #>> '{{}}'").format(identifier(c.name)) for c in key)
    )


def after(key: tuple[KeyColumn, ...], of: sql.Composable | None = None) -> sql.Composed:
    """Keys that a walk meets behind `%(after…)s`."""
    return _compare(key, sql.SQL("<" if key[0].falling else ">"), "after", of)


def from_first(key: tuple[KeyColumn, ...], of: sql.Composable | None = None) -> sql.Composed:
    """Keys that a walk meets from `%(first…)s` on."""
    return _compare(key, sql.SQL("<=" if key[0].falling else ">="), "first", of)


def up_to(key: tuple[KeyColumn, ...], of: sql.Composable | None = None) -> sql.Composed:
    """Keys that a walk meets up to `%(upto…)s`."""
    return _compare(key, sql.SQL(">=" if key[0].falling else "<="), "upto", of)


def in_order(key: tuple[KeyColumn, ...]) -> sql.Composed:
    """What follows ORDER BY: keys as a walk meets them."""
    return sql.SQL(", ").join(
        sql.SQL("{} DESC" if column.falling else "{}").format(identifier(column.name)) for column in key
    )


def backwards(key: tuple[KeyColumn, ...]) -> tuple[KeyColumn, ...]:
    return tuple(replace(column, falling=not column.falling) for column in key)


def _compare(
    key: tuple[KeyColumn, ...], operator: sql.SQL, prefix: str, of: sql.Composable | None
) -> sql.Composed:
    columns = sql.SQL(", ").join(named(column, of) for column in key)
    values = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Placeholder(f"{prefix}{place}"), type_name(column.type))
        for place, column in enumerate(key)
    )
    return sql.SQL("({}) {} ({})").format(columns, operator, values)


def key_values(prefix: str, key: Key | None) -> dict[str, object]:
    return {} if key is None else {f"{prefix}{place}": part for place, part in enumerate(key)}


def _all(*parts: sql.Composable) -> sql.Composed:
    return sql.SQL(" AND ").join(parts)


def hashed(key: tuple[KeyColumn, ...], of: sql.Composable | None = None) -> sql.Composed:
    """A number below `BUCKETS` for a row, by its key."""
    names = [named(column, of) for column in key]
    if len(key) == 1 and key[0].type in _HASHES:
        function, cast = _HASHES[key[0].type]
        value = sql.SQL(f"{function}({{}}{cast})").format(names[0])
    else:
        # With a cast to the type below a domain: a domain over a range has no hash of its own.
        values = [
            sql.SQL("{}::{}").format(name, type_name(column.type))
            for name, column in zip(names, key, strict=True)
        ]
        value = sql.SQL("hash_record(ROW({}))").format(sql.SQL(", ").join(values))
    return sql.SQL("({} & {})").format(value, sql.Literal(BUCKETS - 1))


# Support functions of hash operator classes, in every server; any other type takes the one for records.
_HASHES: dict[str, tuple[LiteralString, LiteralString]] = {
    "smallint": ("hashint8", "::bigint"),
    "integer": ("hashint8", "::bigint"),
    "bigint": ("hashint8", ""),
    "uuid": ("uuid_hash", ""),
    "text": ("hashtext", ""),
    "character varying": ("hashtext", "::text"),
}


def keys_between(
    key: tuple[KeyColumn, ...], *, opening: bool, of: sql.Composable | None = None
) -> sql.Composed:
    """`after < key <= upto`; where nothing comes before the piece, `first <= key <= upto`."""
    return _all(from_first(key, of) if opening else after(key, of), up_to(key, of))


def rows_of(
    key: tuple[KeyColumn, ...], cut: Cut, where: str | None, of: sql.Composable | None = None
) -> sql.Composed:
    """The rows of a piece that need work.

    Args:
        of: the table, where another one's columns are in sight.
    """
    parts: list[sql.Composable] = [keys_between(key, opening=cut.opening, of=of)]
    if cut.sliced:
        bucket = hashed(key, of)
        parts.append(sql.SQL("{} >= %(slice_from)s AND {} < %(slice_upto)s").format(bucket, bucket))
    if where is not None:
        parts.append(written(where))
    return _all(*parts)
