"""Go on with a backfill that was paused, failed or interrupted."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from evolve.app.after_backfill import look_after, tidy_before
from evolve.app.backfill_lead import Lead
from evolve.app.backfill_order import refuse_waiting
from evolve.app.backfill_work import Outcome, Pace, actor, checked_target, told
from evolve.backfill.happenings import Observer, nobody
from evolve.backfill.ports import Stop, Want, Watch
from evolve.backfill.record import may_resume
from evolve.postgres import journal
from evolve.postgres import rejects as set_aside
from evolve.postgres.session import Session
from evolve.postgres.writable import refuse_read_only


def resume_backfill(
    url: str,
    name: str,
    *,
    pace: Pace,
    stop: Stop,
    watch: Watch,
    verify: bool = True,
    plain_sql: bool = False,
    max_rejects: int | None = None,
    observer: Observer = nobody,
    analyze: bool = True,
) -> Outcome | None:
    """Work on the run as it was written down, from its cursor on.

    Args:
        max_rejects: as many rows may be set aside that cannot be written; None: as before.
        analyze: take new statistics of the table once the run is done.

    Returns:
        None where a worker that was about to stop has been told to go on: it does the work.

    Raises:
        NoSuchRun, RunEnded, BeingUndone, AlreadyRunning: there is nothing to resume.
        WaitsForOthers: a backfill that it comes after is not done any more.
        EvolveError: the causes of `backfill_work.checked_target` and `Lead.forward`.
    """
    pace.check()
    with closing(Session(url, f"evolve backfill {name}", pace.timeouts)) as session:
        with told(f'backfill "{name}" could not be resumed', session):
            refuse_read_only(session.current())
            journal.bring_up_to_date(session.current())
            record = journal.named_run(session.current(), name)
            may_resume(record)
            if not record.at_end:
                refuse_waiting(session.current(), name, record.after)
            # The key is the run's own: an index made since must not change the order of the walk.
            spec = replace(record.spec, key=tuple(column.name for column in record.key))
            target = checked_target(
                session, spec, watch, plain_sql=plain_sql, newest_first=record.newest_first
            )
            if max_rejects is not None:
                set_aside.allow(session.current(), record.run_id, max_rejects)
            if record.want is not Want.RUN and journal.ask(session.current(), record, Want.RUN, actor()):
                record = journal.named_run(session.current(), name)
                if record.held:
                    return None
            before = tidy_before(session, spec)
        lead = Lead(url, session, record, target, pace, stop, watch, verify=verify, observer=observer)
        outcome = lead.forward()
    return look_after(url, spec, outcome, before, stop, analyzes=analyze)
