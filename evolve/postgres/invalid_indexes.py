"""Indexes that an interrupted CREATE INDEX CONCURRENTLY left behind: they cost writes and serve no query."""

from __future__ import annotations

from typing import Literal

from psycopg import errors, sql

from evolve.postgres.connect import Connection


def drop_invalid_index(
    connection: Connection, index: str, table: str, *, lock_timeout: int
) -> Literal["absent", "dropped", "stays"]:
    """Drop `index` of `table` if it is there and invalid.

    It stays where older transactions hold the table, and where another session may still be building it: a build
    goes on after its client was killed, and the index becomes valid while a DROP waits for it.

    Args:
        connection: in autocommit mode.
        index, table: as written in the statement that failed.
        lock_timeout: milliseconds to wait for transactions that use the table.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        """
        SELECT n.nspname, c.relname,
               EXISTS (SELECT FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
                        WHERE l.relation = i.indrelid AND l.granted AND l.mode = 'ShareUpdateExclusiveLock'
                          AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
                          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
          FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE i.indrelid = to_regclass(%s) AND c.relname = (parse_ident(%s))[1] AND NOT i.indisvalid
        """,
        (table, index),
    ).fetchone()
    if row is None:
        return "absent"
    if row[2]:
        return "stays"
    connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(lock_timeout)))
    try:
        # SHARE UPDATE EXCLUSIVE on the table: neither reads nor writes wait.
        connection.execute(
            sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(str(row[0]), str(row[1])))
        )
    except (errors.LockNotAvailable, errors.DeadlockDetected):
        return "stays"
    return "dropped"
