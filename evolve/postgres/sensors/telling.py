"""What sensors do to a run, written into its journal over their own connection."""

from __future__ import annotations

import psycopg

from evolve.backfill.ports import Want
from evolve.errors import EvolveError
from evolve.postgres import journal
from evolve.postgres.sensors.eye import Eye


def write_down(eye: Eye, run_id: int, actor: str, kind: str, detail: str) -> bool:
    """An event of the run; False where the server did not take it."""
    try:
        with eye.transaction(write=True) as connection:
            journal.write_event(connection, run_id, actor, kind, detail)
    except (psycopg.Error, EvolveError, OSError):
        return False
    return True


def pause_by_sensor(eye: Eye, name: str, actor: str, reason: str) -> bool:
    """Ask all workers of the run to pause, on all machines; False where the server did not take it."""
    try:
        with eye.transaction(write=True) as connection:
            record = journal.named_run(connection, name)
            if record.want is Want.RUN:
                journal.ask(connection, record, Want.PAUSE, actor, reason)
    except (psycopg.Error, EvolveError, OSError):
        return False
    return True
