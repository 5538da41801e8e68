"""A number that tells what values columns hold, which no session setting can change."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql


def row_hash(columns: Iterable[sql.Composable]) -> sql.Composed:
    """A bigint, of the binary form of the values. A type may have none: then it raises 42883."""
    return sql.SQL("hashtextextended(encode(record_send(ROW({})), 'hex'), 0)").format(
        sql.SQL(", ").join(columns)
    )


def small_row_hash(columns: Iterable[sql.Composable]) -> sql.Composed:
    """The same in four bytes, an integer: two different rows have the same in one of four billion cases."""
    return sql.SQL("hashtext(encode(record_send(ROW({})), 'hex'))").format(sql.SQL(", ").join(columns))
