"""Why a backfill is no faster just now."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

from evolve.app.backfill_work import Pace, told
from evolve.backfill.explaining import Cause, Seen, causes
from evolve.backfill.record import RunRecord
from evolve.backfill.settings import Settings
from evolve.backfill.status import State
from evolve.postgres import journal
from evolve.postgres.connect import Connection
from evolve.postgres.fence import older_transactions
from evolve.postgres.sensors.replica_lag import lag_bytes
from evolve.postgres.session import Session
from evolve.postgres.worker_waits import WorkerWaits

LOOKS = 8
EVERY = 0.25  # seconds
RECENT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Explained:
    """
    Args:
        settings: that the run goes by, brake and all; none is left open.
        causes: the strongest first; none where nothing keeps it from being faster.
    """

    record: RunRecord
    settings: Settings
    seen: Seen
    causes: tuple[Cause, ...]


def explain_backfill(url: str, name: str) -> Explained:
    """Look for some seconds at the run, at the sessions of its workers and at standbys; nothing is written or locked.

    Raises:
        NoSuchRun: naming those that exist.
    """
    with (
        closing(Session(url, "evolve backfill explain")) as session,
        told(f'backfill "{name}" could not be read', session),
    ):
        connection = session.current()
        began, first = time.monotonic(), journal.named_run(connection, name)
        waits = WorkerWaits(connection)
        record = first
        if first.held:
            for _ in range(LOOKS):
                time.sleep(EVERY)
                record = journal.named_run(connection, name)
                waits.look([busy.pid for busy in record.doing])
        passed = max(time.monotonic() - began, EVERY)
        older = older_transactions(connection, record.fence) if record.state is State.FENCING else []
        seen = Seen(
            looks=waits.looks,
            rate=(record.scanned - first.scanned) / passed,
            written=(record.changed - first.changed) / passed,
            waits=waits.found(),
            older=tuple(str(each) for each in older),
            lag=lag_bytes(connection),
            retries=_retries(connection, record),
            held=_held(connection, record),
        )
        settings = record.settings.over(record.pace).over(Pace().settings)
        return Explained(record, settings, seen, tuple(causes(record, settings, seen)))


def _retries(connection: Connection, record: RunRecord) -> tuple[str, ...]:
    now = journal.server_time(connection)
    return tuple(
        f"{event.detail} ({event.at:%H:%M:%S})"
        for event in journal.events(connection, record.run_id, 50)
        if event.kind == "retry" and now - event.at < RECENT
    )


def _held(connection: Connection, record: RunRecord) -> str | None:
    """While it is fenced or verified no worker is there to say what it waits for."""
    told = [
        event for event in journal.events(connection, record.run_id, 50) if event.kind in ("hold", "go on")
    ]
    return told[-1].detail if told and told[-1].kind == "hold" else None
