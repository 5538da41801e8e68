"""Transactions older than a run: while one lives, it may still write rows in the old shape behind the cursor."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.rows import class_row

from evolve.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class OldTransaction:
    """
    Args:
        pid: None for a prepared transaction.
        since: time of day by the server's clock.
        prepared: its global identifier, for ROLLBACK PREPARED.
    """

    xid: str
    pid: int | None
    prepared: str | None
    user: str | None
    application: str | None
    since: str | None

    def __str__(self) -> str:
        if self.prepared is not None:
            return f'prepared transaction "{self.prepared}"'
        if self.pid is None:
            return f"transaction {self.xid}"
        who = f"pid {self.pid}"
        if self.user:
            who += f" of {self.user}"
        if self.application:
            who += f' ("{self.application}")'
        if self.since:
            who += f" since {self.since}"
        return who


def older_transactions(connection: Connection, fence: int) -> list[OldTransaction]:
    """Transactions that hold an id older than `fence` and may write to this database; empty lets the run begin.

    The snapshot lists every one that runs. Only those known to belong to another database are left out; an id whose
    session cannot be seen still counts.
    """
    with connection.cursor(row_factory=class_row(OldTransaction)) as cursor:
        # AccessShare on catalogs only. Who holds which transaction id is in pg_locks for every role to see.
        return cursor.execute(
            """
            SELECT x.xid::text AS xid, a.pid, p.gid AS prepared, a.usename::text AS user,
                   nullif(a.application_name, '') AS application, to_char(a.xact_start, 'HH24:MI:SS') AS since
              FROM pg_snapshot_xip(pg_current_snapshot()) AS x(xid)
              LEFT JOIN pg_locks l ON l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock'
                                  AND l.transactionid = x.xid::xid AND l.pid IS NOT NULL
              LEFT JOIN pg_stat_activity a ON a.pid = l.pid
              LEFT JOIN pg_prepared_xacts p ON p.transaction = x.xid::xid
             WHERE x.xid < %s::text::xid8
               AND coalesce(a.datname, p.database, current_database()) = current_database()
             ORDER BY a.xact_start NULLS LAST, x.xid
            """,
            (fence,),
        ).fetchall()
