"""The runs of a database, looked at again and again over one connection: how far they are and how fast they go."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from evolve.app.backfill_order import unsettled_of
from evolve.app.backfill_work import told
from evolve.app.show_backfills import SHOWN, RunView
from evolve.backfill.histogram import walked
from evolve.backfill.progress import Left, Meter
from evolve.backfill.record import RunRecord
from evolve.backfill.spec import has_effects
from evolve.backfill.status import ENDED
from evolve.postgres import journal
from evolve.postgres import rejects as set_aside
from evolve.postgres.connect import Connection
from evolve.postgres.key_histogram import key_histogram
from evolve.postgres.outbox import notes_of
from evolve.postgres.session import Session

PAST = 50  # ended runs that are shown, the newest
EVENTS = 20  # of each run
RESTS = 30.0  # seconds after which a run that nobody works on is looked at closely again, though its record is the same


@dataclass(frozen=True, slots=True)
class Followed:
    """One look at a run.

    Args:
        at: seconds of the follower's clock.
        rate: keys walked per second of late; None before the second look, and while nobody works on it.
        left: seconds until its end; None where unknown.
    """

    view: RunView
    at: float
    rate: float | None = None
    left: Left | None = None


class BackfillFollower:
    """
    Not for two threads at once.

    Raises:
        CannotConnect, BadUrl
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._session = Session(url, "evolve dashboard")
        self._meters: dict[int, tuple[Meter, int]] = {}
        # What nobody works on is read once, and again when its record is another: what it was, and when it was read.
        self._resting: dict[int, tuple[RunView, float]] = {}

    def close(self) -> None:
        self._session.close()

    def look(self) -> tuple[Followed, ...]:
        """The newest run of each name: all that have not ended, and the last ones that have; the newest first.

        Reads the journal and the statistics of the tables, and locks nothing.

        Raises:
            ServerTrouble: the connection is of no use any more where it was lost.
        """
        with told("the runs could not be read", self._session):
            connection = self._session.current()
            runs = journal.latest_runs(connection)
            past = {run.run_id for run in [run for run in runs if run.state in ENDED][:PAST]}
            shown = [run for run in runs if run.state not in ENDED or run.run_id in past]
            found = tuple(self._look(connection, run) for run in shown)
        ids = {run.run_id for run in shown}
        self._meters = {run: meter for run, meter in self._meters.items() if run in ids}
        self._resting = {run: seen for run, seen in self._resting.items() if run in ids}
        return found

    def _look(self, connection: Connection, record: RunRecord) -> Followed:
        now = self._clock()
        known, read = self._resting.get(record.run_id, (None, 0.0))
        if known is not None and known.record == record and (record.state in ENDED or now - read < RESTS):
            return Followed(known, now)
        fresh = (Meter(record.rows_estimate, self._clock), record.scanned)
        meter, before = self._meters.get(record.run_id, fresh)
        if record.held:
            meter.committed(max(record.scanned - before, 0))
        elif record.run_id in self._meters:  # when it goes on, the pause counts into no rate
            meter = Meter(record.rows_estimate, self._clock)
        self._meters[record.run_id] = (meter, record.scanned)
        view = _view(connection, record, meter)
        if record.held:
            return Followed(view, now, meter.rate(), meter.left(record.scanned, view.fraction))
        self._resting[record.run_id] = (view, now)
        return Followed(view, now)


def _view(connection: Connection, record: RunRecord, meter: Meter) -> RunView:
    bounds = None if record.at_end else key_histogram(connection, record.spec.table, record.key[0])
    return RunView(
        record,
        tuple(journal.events(connection, record.run_id, EVENTS)),
        meter.fraction(
            record.scanned,
            record.by_key,
            finished=record.at_end,
            by_histogram=walked(record, bounds),
            ahead=record.ahead,
        ),
        set_aside.count_conflicts(connection, record.run_id),
        tuple(unsettled_of(connection, record.after)),
        tuple(set_aside.rejects(connection, record.run_id, SHOWN)),
        tuple(set_aside.unrestored(connection, record.run_id, SHOWN)),
        notes_of(connection, record.run_id) if has_effects(record.spec) else None,
    )
