"""Give the rows of a backfill their old values back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from evolve.app.backfill_lead import Lead
from evolve.app.backfill_same import refuse_another
from evolve.app.backfill_work import Outcome, Pace, actor, told
from evolve.backfill.happenings import Observer, nobody
from evolve.backfill.keyset import Key
from evolve.backfill.ports import Stop, Want, Watch
from evolve.backfill.record import AlreadyRunning, Rejected, RunEnded, RunRecord, TargetChanged
from evolve.backfill.status import State
from evolve.backfill.undo import KeepsNoJournal
from evolve.backfill.works import Delete, InsertSelect
from evolve.errors import Misuse
from evolve.postgres import journal, undo_journal
from evolve.postgres import rejects as set_aside
from evolve.postgres.backfill_target import Target, read_target
from evolve.postgres.connect import Connection
from evolve.postgres.session import Session
from evolve.postgres.writable import refuse_read_only


def undo_backfill(
    url: str,
    name: str,
    *,
    pace: Pace,
    stop: Stop,
    watch: Watch,
    max_rejects: int | None = None,
    observer: Observer = nobody,
) -> Outcome:
    """Restore newest first, where a row still holds what the run wrote; the others are listed and left alone.

    A row that cannot take its old value is set aside, and tried again when this is called again. Interrupted at any
    moment it goes on where it was.

    Args:
        max_rejects: as many rows may be set aside; None: as before.

    Raises:
        NoSuchRun, RunEnded, AlreadyRunning, KeepsNoJournal, NothingToUndo: there is nothing to undo, or somebody
            still writes.
        TargetChanged: old values cannot go back into what the table is by now.
        EvolveError: the causes of `Lead.backward`.
    """
    pace.check()
    with closing(Session(url, f"evolve backfill undo {name}", pace.timeouts)) as session:
        with told(f'backfill "{name}" could not be undone', session):
            connection = session.current()
            record, target = undoable(connection, name)
            if record.want is not Want.RUN and not record.held:
                journal.ask(connection, record, Want.RUN, actor())
            if max_rejects is not None:
                set_aside.allow(connection, record.run_id, max_rejects)
        return Lead(url, session, record, target, pace, stop, watch, observer=observer).backward()


def undoable(connection: Connection, name: str) -> tuple[RunRecord, Target]:
    """The last run of that name, and its table.

    Raises:
        NoSuchRun, RunEnded, AlreadyRunning, KeepsNoJournal, NothingToUndo: there is nothing to undo, or somebody
            still writes.
        TargetChanged: old values cannot go back into what the table is by now.
    """
    refuse_read_only(connection)
    journal.bring_up_to_date(connection)
    record = journal.named_run(connection, name)
    if record.state is State.UNDONE and not record.unrestored:
        raise RunEnded(
            record,
            why="its rows have their old values",
            fix=f"see what was left alone: evolve backfill status {name}",
        )
    if record.held and record.holder is not None and record.state is not State.UNDOING:
        raise AlreadyRunning(record, record.holder)
    if isinstance(record.spec.work, InsertSelect | Delete):
        raise KeepsNoJournal(record.spec)
    if not record.journal or not undo_journal.exists(connection, record.run_id):
        raise undo_journal.NothingToUndo(name)
    spec = replace(record.spec, key=tuple(column.name for column in record.key))
    try:
        target = read_target(connection, spec, newest_first=record.newest_first)
    except Misuse as error:
        raise TargetChanged(record, error.what, undoing=True) from error
    refuse_another(connection, record, target, undoing=True)
    return record, target


def list_unrestored(url: str, name: str, limit: int | None) -> list[Rejected]:
    """Rows that could not take their old values in the undo of the last run of that name; up to `limit` of them.

    Raises:
        NoSuchRun: naming those that exist.
    """
    with (
        closing(Session(url, "evolve backfill rejects")) as session,
        told(f'rejects of backfill "{name}" could not be read', session),
    ):
        record = journal.named_run(session.current(), name)
        return set_aside.unrestored(session.current(), record.run_id, limit)


def undo_conflicts(url: str, name: str) -> list[tuple[Key, str]]:
    """Keys of rows that undo left alone, with the reason; the first of them."""
    with (
        closing(Session(url, "evolve backfill control")) as session,
        told(f'backfill "{name}" could not be read', session),
    ):
        record = journal.named_run(session.current(), name)
        return [(each.key, each.reason) for each in set_aside.conflicts(session.current(), record.run_id)]
