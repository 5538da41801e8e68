"""How the runs in a database stand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from evolve.app.backfill_order import unsettled_of
from evolve.app.backfill_work import told
from evolve.backfill.delivering import Notes
from evolve.backfill.dependencies import Unsettled
from evolve.backfill.histogram import Histogram, walked
from evolve.backfill.progress import Meter
from evolve.backfill.record import Event, Rejected, RunRecord
from evolve.backfill.spec import has_effects
from evolve.backfill.status import ENDED, State
from evolve.postgres import journal
from evolve.postgres import rejects as set_aside
from evolve.postgres.key_histogram import key_histogram
from evolve.postgres.outbox import notes_of
from evolve.postgres.session import Session

SHOWN = 10  # rejects


@dataclass(frozen=True, slots=True)
class RunView:
    """A run and its last events.

    Args:
        fraction: 0.0 to 1.0, 1.0 only at the end; None where nothing tells.
        conflicts: rows that undo left alone.
        rejects: the first of the rows that could not be written.
        unrestored: the first of those that could not take their old values.
        notes: of effects outside of the database; None where it has none.
        waits: (name, why) of those that it comes after and that are not settled.
    """

    record: RunRecord
    events: tuple[Event, ...]
    fraction: float | None
    conflicts: int
    waits: tuple[tuple[str, Unsettled], ...] = ()
    rejects: tuple[Rejected, ...] = ()
    unrestored: tuple[Rejected, ...] = ()
    notes: Notes | None = None


def show_backfills(url: str) -> list[RunView]:
    """The newest run of each name, without their events."""
    with (
        closing(Session(url, "evolve backfill status")) as session,
        told("the runs could not be read", session),
    ):
        return [
            RunView(run, (), _fraction(run, Meter(run.rows_estimate, time.monotonic)), 0)
            for run in journal.latest_runs(session.current())
        ]


def show_backfill(url: str, name: str) -> RunView:
    """
    Raises:
        NoSuchRun: naming those that exist.
    """
    return next(watch_backfill(url, name))


def watch_backfill(url: str, name: str) -> Iterator[RunView]:
    """The run as it is each time the next one is asked for, over one connection."""
    meters: dict[int, Meter] = {}  # a look never shows less than the one before
    with closing(Session(url, "evolve backfill status")) as session:
        while True:
            with told(f'backfill "{name}" could not be read', session):
                connection = session.current()
                record = journal.named_run(connection, name)
                meter = meters.setdefault(record.run_id, Meter(record.rows_estimate, time.monotonic))
                bounds = key_histogram(connection, record.spec.table, record.key[0])
                view = RunView(
                    record,
                    tuple(journal.events(connection, record.run_id)),
                    _fraction(record, meter, bounds),
                    set_aside.count_conflicts(connection, record.run_id),
                    tuple(unsettled_of(connection, record.after)),
                    tuple(set_aside.rejects(connection, record.run_id, SHOWN)),
                    notes=notes_of(connection, record.run_id) if has_effects(record.spec) else None,
                    unrestored=tuple(set_aside.unrestored(connection, record.run_id, SHOWN)),
                )
            yield view


def rests(view: RunView) -> bool:
    """Nothing will change until somebody does something."""
    return (
        view.record.state in ENDED
        or not view.record.held
        or view.record.state in (State.PAUSED, State.FAILED)
    )


def _fraction(record: RunRecord, meter: Meter, bounds: Histogram | None = None) -> float | None:
    return meter.fraction(
        record.scanned,
        record.by_key,
        finished=record.at_end,
        by_histogram=walked(record, bounds),
        ahead=record.ahead,
    )
