"""Rows that were set aside: those a run could not write, and those its undo left alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import class_row, scalar_row

from evolve.backfill.keyset import Key
from evolve.backfill.ports import Lease, Reject, TooManyRejects
from evolve.backfill.record import Rejected, RunRecord
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import key_text

SHOWN = 20


@dataclass(frozen=True, slots=True)
class _Row:
    key: str
    sqlstate: str | None
    reason: str
    attempts: int
    at: str

    def rejected(self) -> Rejected:
        key = tuple(str(part) for part in json.loads(self.key))
        return Rejected(key, self.sqlstate, self.reason, self.attempts, self.at)


def rejects(connection: Connection, run_id: int, limit: int | None = SHOWN) -> list[Rejected]:
    """Rows that the run could not write and that no later try has resolved, in the order they were last tried."""
    return _listed(connection, run_id, "reject", limit)


def conflicts(connection: Connection, run_id: int, limit: int | None = SHOWN) -> list[Rejected]:
    """Rows that undo left alone, since they were changed or deleted."""
    return _listed(connection, run_id, "conflict", limit, failed=False)


def unrestored(connection: Connection, run_id: int, limit: int | None = SHOWN) -> list[Rejected]:
    """Rows that could not take their old values; those are kept for the next undo."""
    return _listed(connection, run_id, "conflict", limit)


def _listed(
    connection: Connection, run_id: int, kind: str, limit: int | None, *, failed: bool = True
) -> list[Rejected]:
    """
    Args:
        failed: those that an error kept from being written; else those without an error.
    """
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        # AccessShare on the journal.
        rows = cursor.execute(
            "SELECT array_to_json(key)::text AS key, sqlstate, reason, attempts, to_jsonb(at) #>> '{}' AS at"
            " FROM evolve.backfill_reject"
            " WHERE run_id = %s AND kind = %s AND resolved_at IS NULL AND (sqlstate IS NOT NULL) = %s"
            " ORDER BY range_no, at, key LIMIT %s",
            (run_id, kind, failed, limit),
        ).fetchall()
    return [row.rejected() for row in rows]


def count_conflicts(connection: Connection, run_id: int) -> int:
    with connection.cursor(row_factory=scalar_row) as cursor:
        # AccessShare on the journal.
        counted = cursor.execute(
            "SELECT count(*) FROM evolve.backfill_reject WHERE run_id = %s AND kind = 'conflict'"
            " AND sqlstate IS NULL",
            (run_id,),
        ).fetchone()
    return int(counted or 0)


def reject(connection: Connection, lease: Lease, found: Sequence[Reject]) -> None:
    """Inside the batch's transaction, before its checkpoint: set rows aside that fail, for the first time or again.

    Raises:
        TooManyRejects: the run allows no more; the transaction must not commit.
    """
    fresh = 0
    for each in found:
        # RowExclusive on the journal.
        fresh += connection.execute(
            "WITH known AS (SELECT FROM evolve.backfill_reject WHERE run_id = %(run)s AND kind = 'reject'"
            " AND range_no = %(range)s AND key = %(key)s AND resolved_at IS NULL),"
            " noted AS (INSERT INTO evolve.backfill_reject AS r (run_id, kind, range_no, key, sqlstate, reason)"
            " VALUES (%(run)s, 'reject', %(range)s, %(key)s, %(sqlstate)s, %(reason)s)"
            " ON CONFLICT (run_id, kind, range_no, key) DO UPDATE SET sqlstate = excluded.sqlstate,"
            " reason = excluded.reason, attempts = r.attempts + 1, at = clock_timestamp(), resolved_at = NULL)"
            " SELECT WHERE NOT EXISTS (SELECT FROM known)",
            {
                "run": lease.run_id,
                "range": lease.range_no,
                "key": list(each.key),
                "sqlstate": each.sqlstate,
                "reason": each.message[:500],
            },
        ).rowcount
    if not fresh:
        return
    # A row lock in the journal until COMMIT, so that the workers of a run count one after the other.
    row = connection.execute(
        "UPDATE evolve.backfill_run SET rejects = rejects + %s WHERE run_id = %s RETURNING rejects, max_rejects",
        (fresh, lease.run_id),
    ).fetchone()
    rejected, allowed = (int(str(number)) for number in row) if row else (0, 0)
    if rejected > allowed:
        raise TooManyRejects(found[max(0, len(found) - (rejected - allowed))], allowed)
    keys = "; ".join(f"({', '.join(each.key)}) {each.message}" for each in found[:3])
    # RowExclusive on the journal.
    connection.execute(
        "INSERT INTO evolve.backfill_event (run_id, actor, kind, detail) VALUES (%s, %s, 'rejected', %s)",
        (lease.run_id, lease.owner.partition("#")[0], f"{len(found)}: {keys}"[:500]),
    )


def due(connection: Connection, lease: Lease, rows: int) -> list[Key]:
    """Up to `rows` keys of the range that the retry under way has not tried yet."""
    # AccessShare on the journal.
    found = connection.execute(
        "SELECT array_to_json(j.key)::text FROM evolve.backfill_reject j JOIN evolve.backfill_run r USING (run_id)"
        " WHERE j.run_id = %s AND j.range_no = %s AND j.kind = 'reject' AND j.resolved_at IS NULL"
        " AND j.at < r.retry_at ORDER BY j.at, j.key LIMIT %s",
        (lease.run_id, lease.range_no, rows),
    ).fetchall()
    return [tuple(str(part) for part in json.loads(str(key))) for (key,) in found]


def resolve(connection: Connection, lease: Lease, keys: Sequence[Key]) -> None:
    """Inside the transaction that has written these rows, or found nothing to write."""
    resolved = 0
    for key in keys:
        # RowExclusive on the journal.
        resolved += connection.execute(
            "UPDATE evolve.backfill_reject SET resolved_at = clock_timestamp(), attempts = attempts + 1"
            " WHERE run_id = %s AND kind = 'reject' AND range_no = %s AND key = %s AND resolved_at IS NULL",
            (lease.run_id, lease.range_no, list(key)),
        ).rowcount
    if resolved:
        # A row lock in the journal until COMMIT.
        connection.execute(
            "UPDATE evolve.backfill_run SET rejects = rejects - %s WHERE run_id = %s",
            (resolved, lease.run_id),
        )


def or_rejected(record: RunRecord, predicate: str) -> str:
    """SQL that is true for a row which was set aside, and asks `predicate` of no other."""
    key = key_text(record.key).as_string().replace("%%", "%")
    return (
        f"CASE WHEN {key} IN (SELECT j.key FROM evolve.backfill_reject j WHERE j.run_id = {record.run_id}"  # noqa: S608
        f" AND j.kind = 'reject' AND j.resolved_at IS NULL) THEN true ELSE ({predicate}\n) END"
    )


def allow(connection: Connection, run_id: int, allowed: int) -> None:
    """How many rows the run may set aside from now on, all of its workers together."""
    # A row lock in the journal.
    connection.execute("UPDATE evolve.backfill_run SET max_rejects = %s WHERE run_id = %s", (allowed, run_id))
