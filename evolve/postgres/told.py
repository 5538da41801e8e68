"""What evolve has kept of what it did in this database: changes, gates, upgrades, backfills, in one line of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from evolve.postgres.connect import Connection
from evolve.postgres.evidence import Event


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that happened.

    Args:
        subject: a change, a revision, or a backfill.
        actor: who did it.
    """

    at: datetime
    subject: str
    what: str
    actor: str


# Each table that may be there, and what it tells: at, subject, kind, name, note, actor. ACCESS SHARE on our own tables.
_CHANGES = "SELECT at, change AS subject, phase, kind, name, note, actor FROM evolve.change_event"
_EVIDENCE = """
    SELECT at, change AS subject, 'before ' || phase || ': ' || gate || ': ' || observed AS what, actor
      FROM evolve.evidence
"""
_UPGRADES = """
    SELECT s.began_at AS at, s.revision AS subject,
           CASE s.state WHEN 'done' THEN CASE r.direction WHEN 'upgrade' THEN 'applied' ELSE 'reverted' END
                        WHEN 'running' THEN 'begun, and not ended' ELSE r.direction || ' ' || s.state END
           || coalesce(' in ' || round(extract(epoch FROM s.ended_at - s.began_at)::numeric, 1) || ' s', '')
           || CASE WHEN s.attempts > 1 THEN ', after ' || s.attempts || ' attempts' ELSE '' END
           || coalesce(': ' || CASE WHEN s.state = 'failed' THEN r.error END, '') AS what, r.actor
      FROM evolve.upgrade_step s JOIN evolve.upgrade_run r USING (run_id)
"""
_BACKFILLS = """
    SELECT e.at, r.name AS subject, 'backfill ' || e.kind || coalesce(': ' || nullif(e.detail, ''), '') AS what, e.actor
      FROM evolve.backfill_event e JOIN evolve.backfill_run r USING (run_id)
"""


@dataclass(frozen=True, slots=True)
class _ChangeRow:
    at: datetime
    subject: str
    phase: str
    kind: str
    name: str
    note: str
    actor: str


def everything(connection: Connection, *, gates: bool) -> list[Told]:
    """All that was kept, oldest first; what this role may not read is left out.

    Args:
        gates: what was seen at each gate as well.
    """
    found = [*_changes(connection)]
    if gates:
        found += _plain(connection, "evidence", _EVIDENCE)
    found += _plain(connection, "upgrade_step", _UPGRADES)
    found += _plain(connection, "backfill_event", _BACKFILLS)
    return sorted(found, key=lambda told: told.at)


def _changes(connection: Connection) -> Iterator[Told]:
    if not _readable(connection, "change_event"):
        return
    with connection.cursor(row_factory=class_row(_ChangeRow)) as cursor:
        for row in cursor.execute(_CHANGES).fetchall():
            event = Event(row.phase, row.kind, row.name, row.note, row.actor, row.at)
            yield Told(row.at, row.subject, event.told, row.actor)


def _plain(connection: Connection, table: str, query: str) -> list[Told]:
    if not _readable(connection, table):
        return []
    with connection.cursor(row_factory=class_row(Told)) as cursor:
        return cursor.execute(query.encode()).fetchall()


def _readable(connection: Connection, table: str) -> bool:
    try:
        # ACCESS SHARE on catalogs only.
        row = connection.execute(
            "SELECT has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'evolve' AND c.relname = %s",
            (table,),
        ).fetchone()
    except psycopg.errors.UndefinedTable:  # dropped between the two looks
        return False
    return row == (True,)
