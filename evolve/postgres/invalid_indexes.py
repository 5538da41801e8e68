"""Indexes that an interrupted CREATE INDEX CONCURRENTLY left behind: they cost writes and serve no query."""

from __future__ import annotations

from psycopg import errors, sql

from evolve.postgres.connect import Connection


def drop_invalid_index(connection: Connection, index: str, table: str, *, lock_timeout: int) -> bool:
    """Drop `index` of `table` if it is there and invalid; False if older transactions kept it from that.

    Args:
        connection: in autocommit mode.
        index, table: as written in the statement that failed.
        lock_timeout: milliseconds to wait for transactions that use the table.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        """
        SELECT n.nspname, c.relname
          FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE i.indrelid = to_regclass(%s) AND c.relname = (parse_ident(%s))[1] AND NOT i.indisvalid
        """,
        (table, index),
    ).fetchone()
    if row is None:
        return True
    connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(lock_timeout)))
    try:
        # SHARE UPDATE EXCLUSIVE on the table: neither reads nor writes wait.
        connection.execute(
            sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(str(row[0]), str(row[1])))
        )
    except errors.LockNotAvailable:
        return False
    return True
