"""Sessions that a statement with CONCURRENTLY would have to wait for: those with a snapshot, or a lock on the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from evolve.postgres.connect import Connection
from evolve.postgres.lasting import written
from evolve.redaction import shown
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse


@dataclass(frozen=True, slots=True)
class OldSnapshot:
    """A transaction that was there before the statement; one that was prepared has no session, and pid 0.

    Args:
        began: seconds since 1970; with the pid it tells one transaction from the next of the same session.
    """

    pid: int
    began: str
    user: str
    application: str
    state: str
    age: timedelta
    query: str

    def __str__(self) -> str:
        since = f"{self.age.total_seconds():.0f} s"
        if self.pid == 0:
            return f"prepared transaction {self.query} of {self.user}, for {since}"
        return f'pid {self.pid} ({self.user}, "{self.application}", {self.state} for {since}): {self.query}'


# ACCESS SHARE on catalogs only. PostgreSQL waits for the snapshots of its own database; not for those of VACUUM, and
# since 14 not for another CREATE INDEX CONCURRENTLY's. A role that may not see what
# others do sees none of their snapshots.
_OLD = """
SELECT a.pid, extract(epoch FROM a.xact_start)::text, coalesce(a.usename, ''),
       coalesce(nullif(a.application_name, ''), a.backend_type), coalesce(a.state, ''),
       clock_timestamp() - a.xact_start, left(split_part(ltrim(coalesce(a.query, '')), E'\\n', 1), 80)
  FROM pg_stat_activity AS a
 WHERE a.datname = current_database() AND a.xact_start IS NOT NULL AND a.pid <> ALL (%(ours)s::int[])
   AND a.pid <> pg_backend_pid() AND a.backend_type NOT IN ('autovacuum worker', 'parallel worker')
   AND a.pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum UNION ALL SELECT pid FROM pg_stat_progress_create_index)
   AND (%(snapshots)s AND a.backend_xmin IS NOT NULL
        OR EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.granted AND l.relation = %(table)s
                      AND (%(readers)s OR l.mode NOT IN ('AccessShareLock', 'RowShareLock'))))
UNION ALL
SELECT 0, extract(epoch FROM p.prepared)::text, p.owner, '', 'prepared', clock_timestamp() - p.prepared, p.gid
  FROM pg_prepared_xacts AS p
 WHERE p.database = current_database()
   AND EXISTS (SELECT FROM pg_locks AS l WHERE l.pid IS NULL AND l.transactionid = p.transaction AND l.granted)
   AND EXISTS (SELECT FROM pg_locks AS l JOIN pg_locks AS t ON t.virtualtransaction = l.virtualtransaction
                WHERE l.pid IS NULL AND l.transactionid = p.transaction AND t.relation = %(table)s)
 ORDER BY 6 DESC
"""


@dataclass(frozen=True, slots=True)
class Waits:
    """What a statement with CONCURRENTLY waits for.

    Args:
        relation: of the locks: the table, or an index of it.
        snapshots: every snapshot in the database, whatever it was taken for.
        readers: locks of readers as well as of writers.
    """

    relation: QualifiedName
    snapshots: bool
    readers: bool


def waits(text: str) -> Waits | None:
    """None where `text` waits for nobody that could be named before."""
    operations = parse(text)
    match operations[0] if len(operations) == 1 else None:
        case op.CreateIndex(concurrently=True, index=index):
            return Waits(index.table, snapshots=True, readers=False)
        case op.Reindex(kind="table" | "index", concurrently=True, name=QualifiedName() as name):
            return Waits(name, snapshots=True, readers=True)
        case op.DropIndex(concurrently=True, index=index):
            return Waits(index, snapshots=False, readers=True)
        case op.DetachPartition(concurrently=True, table=table):
            return Waits(table, snapshots=False, readers=True)
        case _:
            return None


def old_snapshots(
    connection: Connection, what: Waits, search_path: str, ours: Sequence[int]
) -> list[OldSnapshot]:
    """Oldest first.

    Args:
        connection: in autocommit mode.
        search_path: of the session that sends the statement: names may be written without a schema.
        ours: pids that are not waited for.
    """
    with connection.transaction():
        # No lock; for the name below only.
        connection.execute("SELECT set_config('search_path', %s, true)", (search_path,))
        # ACCESS SHARE on catalogs only.
        oid = connection.execute(
            "SELECT coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = r.oid), r.oid)::bigint"
            " FROM (SELECT coalesce(to_regclass(%s)::oid, 0) AS oid) AS r",
            (written(what.relation),),
        ).fetchone()
        values = {"snapshots": what.snapshots, "readers": what.readers, "table": oid[0] if oid else 0}
        rows = connection.execute(_OLD, {"ours": list(ours), **values}).fetchall()
    return [_snapshot(row) for row in rows]


def _snapshot(row: tuple[object, ...]) -> OldSnapshot:
    pid, began, user, application, state, age, query = row
    if not isinstance(pid, int) or not isinstance(age, timedelta):
        raise TypeError(row)
    return OldSnapshot(pid, str(began), str(user), str(application), str(state), age, shown(str(query)))
