"""What happened to a backfill, and who did it."""

from __future__ import annotations

from contextlib import closing

from evolve.app.backfill_work import told
from evolve.backfill.record import Event
from evolve.postgres import journal
from evolve.postgres.event_log import event_log
from evolve.postgres.session import Session


def backfill_log(url: str, name: str, limit: int) -> list[tuple[int, Event]]:
    """(run, event) of the last `limit` events, oldest first.

    Raises:
        NoSuchRun: naming those that exist.
    """
    with (
        closing(Session(url, "evolve backfill status")) as session,
        told(f'backfill "{name}" could not be read', session),
    ):
        journal.named_run(session.current(), name)
        return event_log(session.current(), name, limit)
