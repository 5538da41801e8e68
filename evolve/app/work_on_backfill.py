"""Join a backfill that somebody else leads, with workers of this process."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

from evolve.app.after_backfill import look_after, tidy_before
from evolve.app.backfill_crew import LOOK, CrewProgress, crew_of
from evolve.app.backfill_lead import Lead
from evolve.app.backfill_work import Outcome, Pace, checked_target, ended, told
from evolve.backfill.happenings import Begun, Observer, nobody
from evolve.backfill.ports import Stop, Watch
from evolve.backfill.progress import Meter
from evolve.backfill.record import AlreadyRunning, RunFailed, RunPaused, RunRecord, may_resume
from evolve.backfill.status import ENDED, State
from evolve.postgres import journal
from evolve.postgres.key_histogram import key_histogram
from evolve.postgres.session import Session
from evolve.postgres.writable import refuse_read_only


def work_on_backfill(
    url: str, name: str, *, pace: Pace, stop: Stop, watch: Watch, observer: Observer = nobody
) -> Outcome:
    """Walk ranges of the run beside whoever works on it, until none is left.

    Where nobody leads the run any more, this process does: it goes on to verify and to end it. A signal ends the batch
    at hand and leaves the run to the others.

    Returns:
        The state of the run; RUNNING where this process left before its end, VERIFYING where the lead still looks.

    Raises:
        NoSuchRun, RunEnded, BeingUndone: there is nothing to work on.
        RunPaused, RunFailed: before or while this process worked on it; to start it again is not for whoever joins.
        EvolveError: the causes of `backfill_work.checked_target`, `Worker.work` and `Lead.forward`.
    """
    pace.check()
    began = time.monotonic()
    with (
        closing(Session(url, f"evolve backfill {name}", pace.timeouts)) as session,
        told(f'backfill "{name}" could not be worked on', session),
    ):
        refuse_read_only(session.current())
        journal.bring_up_to_date(session.current())
        record = journal.named_run(session.current(), name)
        may_resume(record)
        _refuse_rest(record)
        spec = replace(record.spec, key=tuple(column.name for column in record.key))
        target = checked_target(session, spec, watch, plain_sql=False, newest_first=record.newest_first)
        while True:
            if record.lead is None and record.state not in ENDED:
                try:
                    before = tidy_before(session, spec)
                    lead = Lead(url, session, record, target, pace, stop, watch, observer=observer)
                    return look_after(url, spec, lead.forward(), before, stop, analyzes=True)
                except AlreadyRunning:
                    pass  # somebody was faster
            observer(Begun(record, State.RUNNING))
            own = pace.on(replace(record.terms, workers=None))
            with crew_of(url, record, target, own, stop, watch, State.RUNNING, observer) as crew:
                meter = Meter(record.rows_estimate, time.monotonic)
                bounds = key_histogram(session.current(), target.table, target.key[0])
                progress = CrewProgress(crew, State.RUNNING, meter, watch, observer, bounds)
                while crew.alive():
                    progress.report(journal.named_run(session.current(), name))
                    crew.join(LOOK)
                stopped = crew.ending()
            record = journal.named_run(session.current(), name)
            if stopped is None:
                _refuse_rest(record)
            if stopped is not None or record.lead is not None or record.state in ENDED:
                outcome = Outcome(
                    name=name,
                    state=record.state,
                    rows=record.changed,
                    batches=record.batches,
                    seconds=time.monotonic() - began,
                    verdict=record.verify if record.state is State.DONE else None,
                    stopped_by=None if stopped is None else stopped.signal or "the journal",
                    rejects=record.rejects,
                )
                observer(ended(outcome))
                return outcome


def _refuse_rest(record: RunRecord) -> None:
    if record.state is State.PAUSED:
        raise RunPaused(record)
    if record.state is State.FAILED:
        raise RunFailed(record)
