"""Whether another backfill that goes on, or may go on, writes a column that this one writes."""

from __future__ import annotations

from evolve.backfill.record import WritesTheSame
from evolve.backfill.spec import Spec
from evolve.backfill.status import ENDED
from evolve.postgres import journal
from evolve.postgres.connect import Connection


def refuse_another_writer(connection: Connection, spec: Spec, oid: int) -> None:
    """Inside the transaction that lets a backfill begin, or begin to be undone; until its COMMIT no other does.

    Args:
        oid: of its table. A table above it or below it, by partitions or inheritance, has the same rows.

    Raises:
        WritesTheSame: naming the run that has not ended, or whose rejects are tried again.
    """
    if not spec.columns:
        return
    # No table lock; of two that begin at once one would not see the other.
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve.backfill'), hashtext('one writer'))")
    others = [
        record
        for record in journal.latest_runs(connection)
        if record.name != spec.name
        and (record.state not in ENDED or record.held)
        and set(record.spec.columns) & set(spec.columns)
    ]
    if not others:
        return
    family = _family(connection, oid)
    for record in others:
        if record.table_oid in family:
            raise WritesTheSame(spec, record)


def _family(connection: Connection, oid: int) -> set[int]:
    # AccessShare on catalogs only.
    rows = connection.execute(
        "WITH RECURSIVE above AS (SELECT %(oid)s::oid AS oid UNION SELECT i.inhparent FROM pg_inherits i"
        " JOIN above ON i.inhrelid = above.oid),"
        " below AS (SELECT %(oid)s::oid AS oid UNION SELECT i.inhrelid FROM pg_inherits i"
        " JOIN below ON i.inhparent = below.oid)"
        " SELECT oid::bigint FROM above UNION SELECT oid::bigint FROM below",
        {"oid": oid},
    ).fetchall()
    return {int(str(row[0])) for row in rows}
