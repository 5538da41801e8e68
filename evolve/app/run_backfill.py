"""Run a backfill: check it, write it down, walk it to its end."""

from __future__ import annotations

from contextlib import closing

from evolve.app.after_backfill import look_after, tidy_before
from evolve.app.backfill_lead import Lead
from evolve.app.backfill_order import refuse_waiting
from evolve.app.backfill_work import Outcome, Pace, actor, checked_target, told
from evolve.backfill.approval import WhyApprove
from evolve.backfill.happenings import Observer, nobody
from evolve.backfill.ports import Stop, Watch
from evolve.backfill.record import NotApproved
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.twice import may_walk_again
from evolve.backfill.undo import JournalMode, keeps_journal
from evolve.backfill.verify import CannotVerify, misses_predicate
from evolve.postgres import journal, undo_journal
from evolve.postgres import rejects as set_aside
from evolve.postgres.backfill_target import KeyNotAlone
from evolve.postgres.one_writer import refuse_another_writer
from evolve.postgres.session import Session


def run_backfill(
    url: str,
    spec: Spec,
    *,
    pace: Pace,
    stop: Stop,
    watch: Watch,
    restart: bool = False,
    undo_journal_mode: JournalMode = JournalMode.AUTO,
    verify: bool = True,
    plain_sql: bool = False,
    newest_first: bool = False,
    after: tuple[str, ...] | None = None,
    max_rejects: int | None = None,
    observer: Observer = nobody,
    analyze: bool = True,
    approval: WhyApprove | None = None,
) -> Outcome:
    """Start the run of `spec`, or go on with one that failed or was interrupted; a done one is left alone.

    Where one that was gone on with leaves rows behind, all rows are walked once more, as with `restart`, if that can
    write none a second time.

    Everything that can be refused is refused before the journal or a row is written.

    Args:
        restart: make a new run where the old one has ended; also of another specification.
        plain_sql: assign nothing but the specification's own columns.
        newest_first: walk from the greatest key down; a run that is gone on with keeps the way it began.
        max_rejects: as many rows may be set aside that cannot be written; None: 100, or what was said before.
        analyze: take new statistics of the table once the run is done.
        after: names of backfills that must be done before; None: those that the last run of the name came after.
        approval: why a new run must be approved by another person before it begins; None: none must.

    Raises:
        WaitsForOthers, CircularOrder: one of `after` is not done, or comes after this one.
        NotApproved: it is written down, and waits for another person.
        WritesTheSame: another one that has not ended writes the same column.
        EvolveError: the causes of `backfill_work.checked_target`, `record.may_start` and `Lead.forward`.
    """
    pace.check()
    with closing(Session(url, f"evolve backfill {spec.name}", pace.timeouts)) as session:
        with told(f'backfill "{spec.name}" could not start', session):
            target = checked_target(session, spec, watch, plain_sql=plain_sql, newest_first=newest_first)
            keeps = keeps_journal(spec, undo_journal_mode)
            if keeps and target.inherited:
                raise KeyNotAlone(spec)
            if target.by_block and undo_journal_mode is JournalMode.AUTO:
                watch.say("no undo journal is kept: rows without a key could not be found again")
            journal.ensure_journal(session.current())
            latest = journal.latest_run(session.current(), spec.name)
            comes_after = latest.after if after is None and latest is not None else after or ()
            if latest is None or restart or latest.state is not State.DONE:
                refuse_waiting(session.current(), spec.name, comes_after)
            record = journal.open_run(
                session.current(),
                spec,
                journal.NewRun(
                    table_oid=target.oid,
                    key=target.key,
                    rows_estimate=target.rows_estimate,
                    journal=keeps,
                    after=comes_after,
                    newest_first=newest_first,
                    key_collations=target.collations,
                    column_numbers=tuple(column.number for column in target.columns),
                    pace=pace.begun,
                    terms=pace.terms,
                    approval=approval and approval(target.table, target.rows_estimate),
                ),
                actor=actor(),
                restart=restart,
                allow=lambda connection: refuse_another_writer(connection, spec, target.oid),
                prepare=lambda connection, run_id: (
                    undo_journal.create(connection, run_id, target) if keeps else None
                ),
            )
            if record.waits_for_approval and record.state is not State.DONE:
                raise NotApproved(record)
            if record.newest_first != newest_first and record.state is not State.DONE:
                watch.say(
                    f"going on from the {'newest' if record.newest_first else 'oldest'} row on, as it began"
                )
                target = checked_target(
                    session, spec, watch, plain_sql=plain_sql, newest_first=record.newest_first
                )
            if record.after != comes_after:
                journal.put_after(session.current(), record, comes_after, actor())
            if max_rejects is not None:
                set_aside.allow(session.current(), record.run_id, max_rejects)
        if record.state is State.DONE:
            return Outcome(
                record.name,
                State.DONE,
                record.changed,
                record.batches,
                0.0,
                record.verify,
                already=True,
                rejects=record.rejects,
                doubles=record.doubles,
            )
        if misses_predicate(spec, tuple(column.name for column in record.key)) is None:
            key = ", ".join(column.name for column in record.key)
            watch.say(
                f"{CannotVerify(spec).what}; a row whose key ({key}) is changed meanwhile may be missed or written"
                " twice, and nothing will tell"
            )
        gone_on_with = record.batches > 0
        with told(f'backfill "{spec.name}" could not start', session):
            before = tidy_before(session, spec)
        lead = Lead(url, session, record, target, pace, stop, watch, verify=verify, observer=observer)
        outcome = lead.forward()
    missed = 0 if outcome.verdict is None else outcome.verdict.misses - outcome.rejects
    if gone_on_with and missed > 0 and may_walk_again(spec, journal=record.journal):
        # What lies behind the cursor was undone between the two stretches: the column was taken back and made again.
        return run_backfill(
            url,
            spec,
            pace=pace,
            stop=stop,
            watch=watch,
            restart=True,
            undo_journal_mode=undo_journal_mode,
            verify=verify,
            plain_sql=plain_sql,
            newest_first=newest_first,
            max_rejects=record.max_rejects if max_rejects is None else max_rejects,
            observer=observer,
            analyze=analyze,
        )
    return look_after(url, spec, outcome, before, stop, analyzes=analyze)
