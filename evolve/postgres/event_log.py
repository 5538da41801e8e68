"""What happened to the runs of a backfill, from the first one on, as the journal has it."""

from __future__ import annotations

from datetime import datetime

from evolve.backfill.record import Event
from evolve.postgres.connect import Connection


def event_log(connection: Connection, name: str, limit: int) -> list[tuple[int, Event]]:
    """(run, event) of the last `limit` events of that name, oldest first."""
    # AccessShare on the journal.
    rows = connection.execute(
        "SELECT run_id, to_jsonb(at) #>> '{}', actor, kind, detail"
        " FROM evolve.backfill_event JOIN evolve.backfill_run USING (run_id) WHERE name = %s"
        " ORDER BY event_id DESC LIMIT %s",
        (name, limit),
    ).fetchall()
    return [
        (int(str(run)), Event(datetime.fromisoformat(str(at)), str(actor), str(kind), str(detail)))
        for run, at, actor, kind, detail in reversed(rows)
    ]
