"""Indexes that an interrupted CREATE INDEX CONCURRENTLY left behind: they cost writes and serve no query."""

from __future__ import annotations

from typing import Literal

from psycopg import errors, sql

from evolve.postgres.connect import Connection
from evolve.postgres.lock_waits import lock_timeout as waits

# ACCESS SHARE on catalogs only. A name that the server made up begins like the table's, and ends in _idx or _idx1.
_INVALID = """
SELECT n.nspname, c.relname,
       EXISTS (SELECT FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
                WHERE l.relation = i.indrelid AND l.granted AND l.mode = 'ShareUpdateExclusiveLock'
                  AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
                  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
  FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_class AS t ON t.oid = i.indrelid
 WHERE i.indrelid = to_regclass(%(table)s) AND NOT i.indisvalid
   AND CASE WHEN %(index)s::text IS NOT NULL THEN c.relname = (parse_ident(%(index)s))[1]
            ELSE starts_with(c.relname::text, left(t.relname::text, 7)) AND c.relname ~ '_idx[0-9]*$' END
 ORDER BY c.oid DESC LIMIT 1
"""


def drop_invalid_index(
    connection: Connection,
    index: str | None,
    table: str,
    *,
    lock_timeout: int,
    search_path: str | None = None,
) -> Literal["absent", "dropped", "stays"]:
    """Drop `index` of `table` if it is there and invalid.

    It stays where older transactions hold the table, and where another session may still be building it: a build
    goes on after its client was killed, and the index becomes valid while a DROP waits for it.

    Args:
        connection: in autocommit mode.
        index, table: as written in the statement that failed; the index is None where the server named it.
        lock_timeout: milliseconds to wait for transactions that use the table.
        search_path: of the session that sent the statement; None is that of `connection`.
    """
    with connection.transaction():
        if search_path is not None:
            # No lock; for the name below only.
            connection.execute("SELECT set_config('search_path', %s, true)", (search_path,))
        row = connection.execute(_INVALID, {"index": index, "table": table}).fetchone()
    if row is None:
        return "absent"
    if row[2]:
        return "stays"
    try:
        with waits(connection, lock_timeout):
            # SHARE UPDATE EXCLUSIVE on the table: neither reads nor writes wait.
            connection.execute(
                sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(
                    sql.Identifier(str(row[0]), str(row[1]))
                )
            )
    except (errors.LockNotAvailable, errors.DeadlockDetected):
        return "stays"
    return "dropped"
