"""What an ended run keeps, how much that is, and how it goes."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql
from psycopg.rows import class_row

from evolve.backfill.record import NoSuchRun, RunRecord
from evolve.backfill.status import State
from evolve.postgres import journal, undo_journal
from evolve.postgres.connect import Connection
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """
    Args:
        bytes: of old values, in all runs of the name.
        older: runs before the last one.
        events: written down for any of them.
    """

    bytes: int
    older: int
    events: int


def kept(connection: Connection, name: str) -> Kept:
    """What the runs of that name keep."""
    with connection.cursor(row_factory=class_row(Kept)) as cursor:
        # AccessShare on the journal and on catalogs.
        found = cursor.execute(
            """
            SELECT coalesce(sum(pg_total_relation_size(to_regclass('evolve.backfill_undo_' || run_id))), 0)::bigint
                       AS bytes,
                   greatest(count(*) - 1, 0) AS older,
                   (SELECT count(*) FROM evolve.backfill_event e JOIN evolve.backfill_run o USING (run_id)
                     WHERE o.name = %(name)s) AS events
              FROM evolve.backfill_run WHERE name = %(name)s
            """,
            {"name": name},
        ).fetchone()
    return found or Kept(0, 0, 0)


def expired(connection: Connection, seconds: float) -> list[RunRecord]:
    """The last runs of their names that keep old values and ended longer ago than that, oldest first."""
    if not journal.readable(connection):
        return []
    # AccessShare on the journal.
    rows = connection.execute(
        "SELECT DISTINCT ON (name) name, journal AND ended_at < clock_timestamp() - make_interval(secs => %s)"
        " FROM evolve.backfill_run ORDER BY name, run_id DESC",
        (seconds,),
    ).fetchall()
    records = [journal.named_run(connection, str(name)) for name, old in rows if old]
    return sorted(
        (record for record in records if undo_journal.exists(connection, record.run_id)),
        key=lambda record: record.run_id,
    )


def forget(connection: Connection, record: RunRecord, actor: str, may: Callable[[RunRecord], None]) -> Kept:
    """Drop old values, older runs and events of that name, in one transaction. What stays is that it was done, with its
    verdict: gates ask for that, and a deployment script that names it must not walk the rows a second time.

    Args:
        may: raises where the run, as it is once nobody else can change it, must stay.
    """
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '2s'")
        # Row locks in the journal: whoever would resume, undo or restart it waits for us, and finds it as we leave it.
        runs = [
            int(str(row[0]))
            for row in connection.execute(
                "SELECT run_id FROM evolve.backfill_run WHERE name = %s ORDER BY run_id FOR UPDATE",
                (record.name,),
            )
        ]
        now = journal.latest_run(connection, record.name)
        if now is None:
            raise NoSuchRun(record.name)
        may(now)
        found = kept(connection, record.name)
        for run_id in runs:
            # AccessExclusive on a table that only this run knows.
            undo_journal.drop(connection, run_id)
        older = [run_id for run_id in runs if run_id != now.run_id]
        # AccessShare on catalogs only.
        of_runs = connection.execute(
            "SELECT relname::text FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
            " WHERE confrelid = 'evolve.backfill_run'::regclass AND contype = 'f'"
        ).fetchall()
        # RowExclusive on the journal.
        for table in (*(str(row[0]) for row in of_runs), "backfill_run"):
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE run_id = ANY(%s)").format(sql.Identifier("evolve", table)),
                (older,),
            )
        connection.execute("DELETE FROM evolve.backfill_event WHERE run_id = %s", (now.run_id,))
        if now.state is State.UNDOING:
            journal.end_undo(connection, now.run_id)
        connection.execute("UPDATE evolve.backfill_run SET journal = false WHERE run_id = %s", (now.run_id,))
        connection.execute(
            "INSERT INTO evolve.backfill_event (run_id, actor, kind, detail) VALUES (%s, %s, 'forget', %s)",
            (now.run_id, actor, f"{found.bytes} bytes of old values, {found.older} older runs"),
        )
    return found
