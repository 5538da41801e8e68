"""Eight bytes that tell what values columns hold, which no session setting can change."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql


def row_hash(columns: Iterable[sql.Composable]) -> sql.Composed:
    """A bigint, of the binary form of the values. A type may have none: then it raises 42883."""
    return sql.SQL("hashtextextended(encode(record_send(ROW({})), 'hex'), 0)").format(
        sql.SQL(", ").join(columns)
    )
