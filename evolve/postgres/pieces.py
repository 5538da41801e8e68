"""Which rows a piece of a run means, in SQL: keys between two others, and of them those that hash to one slice."""

from __future__ import annotations

from itertools import product, starmap

from psycopg import sql

from evolve.backfill.keyset import Key, KeyColumn
from evolve.backfill.ports import BUCKETS, Piece
from evolve.postgres.composing import identifier, type_name, written
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """Which of several texts of a statement a piece takes: texts stay the same, so the server keeps their plans.

    Args:
        opening: no key comes before the piece.
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
    values = {**key_values("after", piece.after), **key_values("upto", piece.upto)}
    if piece.slices > 1:
        values["slice_from"] = BUCKETS * piece.slice // piece.slices
        values["slice_upto"] = BUCKETS * (piece.slice + 1) // piece.slices
    return values


def key_text(key: tuple[KeyColumn, ...]) -> sql.Composed:
    """An array of the key's columns, spelled so that it reads back the same under every DateStyle and TimeZone."""
    return sql.SQL("ARRAY[{}]").format(
        sql.SQL(", ").join(sql.SQL("to_jsonb({}) #>> '{{}}'").format(identifier(c.name)) for c in key)
    )


def after(key: tuple[KeyColumn, ...]) -> sql.Composed:
    return _compare(key, sql.SQL(">"), "after")


def up_to(key: tuple[KeyColumn, ...]) -> sql.Composed:
    return _compare(key, sql.SQL("<="), "upto")


def _compare(key: tuple[KeyColumn, ...], operator: sql.SQL, prefix: str) -> sql.Composed:
    columns = sql.SQL(", ").join(identifier(column.name) for column in key)
    values = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Placeholder(f"{prefix}{place}"), type_name(column.type))
        for place, column in enumerate(key)
    )
    return sql.SQL("({}) {} ({})").format(columns, operator, values)


def key_values(prefix: str, key: Key | None) -> dict[str, object]:
    return {} if key is None else {f"{prefix}{place}": part for place, part in enumerate(key)}


def _all(*parts: sql.Composable) -> sql.Composed:
    return sql.SQL(" AND ").join(parts)


def hashed(key: tuple[KeyColumn, ...]) -> sql.Composed:
    """A number below `BUCKETS` for a row, by its key."""
    names = [identifier(column.name) for column in key]
    if len(key) == 1 and key[0].type in _HASHES:
        function, cast = _HASHES[key[0].type]
        value = sql.SQL(f"{function}({{}}{cast})").format(names[0])
    else:
        value = sql.SQL("hash_record(ROW({}))").format(sql.SQL(", ").join(names))
    return sql.SQL("({} & {})").format(value, sql.Literal(BUCKETS - 1))


# Support functions of hash operator classes, in every server; any other type takes the one for records.
_HASHES = {
    "smallint": ("hashint8", "::bigint"),
    "integer": ("hashint8", "::bigint"),
    "bigint": ("hashint8", ""),
    "uuid": ("uuid_hash", ""),
    "text": ("hashtext", ""),
    "character varying": ("hashtext", "::text"),
}


def keys_between(key: tuple[KeyColumn, ...], *, opening: bool) -> sql.Composed:
    """`after < key <= upto`; where nothing comes before the piece, `key <= upto`."""
    return up_to(key) if opening else _all(after(key), up_to(key))


def rows_of(key: tuple[KeyColumn, ...], cut: Cut, where: str | None) -> sql.Composed:
    """The rows of a piece that need work."""
    parts: list[sql.Composable] = [keys_between(key, opening=cut.opening)]
    if cut.sliced:
        bucket = hashed(key)
        parts.append(sql.SQL("{} >= %(slice_from)s AND {} < %(slice_upto)s").format(bucket, bucket))
    if where is not None:
        parts.append(written(where))
    return _all(*parts)
