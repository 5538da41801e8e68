"""Rows that a backfill could not write: listed, and tried once more."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

from evolve.app.backfill_lead import Lead
from evolve.app.backfill_work import Outcome, Pace, told
from evolve.backfill.happenings import Observer, nobody
from evolve.backfill.ports import Stop, Watch
from evolve.backfill.record import AlreadyRunning, Rejected, RunRecord, over
from evolve.backfill.status import State
from evolve.errors import Refused
from evolve.postgres import journal
from evolve.postgres import rejects as set_aside
from evolve.postgres.backfill_target import read_target
from evolve.postgres.session import Session
from evolve.postgres.writable import refuse_read_only


class NotDoneYet(Refused):
    def __init__(self, record: RunRecord) -> None:
        undo = record.state is State.UNDOING or record.unrestored > 0
        ended = record.state in (State.CANCELLED, State.UNDOING, State.UNDONE)
        super().__init__(
            f'backfill "{record.name}" is {record.shown}: its rejects are tried again once it is done',
            why="its rows stay as they are" if ended else "what it still has to write comes first",
            fix=f"what its undo set aside is tried again by: evolve backfill undo {record.name}"
            if undo
            else over(record)
            if ended
            else f"evolve backfill resume {record.name}",
        )


class NoLastingKey(Refused):
    def __init__(self, record: RunRecord) -> None:
        super().__init__(
            f'rows of "{record.spec.table.plain}" cannot be tried again one by one: they have no key',
            why="they are known by their places in the table, and every write gives a row another one",
            fix="mend them, then walk the table once more: evolve backfill run … --restart",
        )


@dataclass(frozen=True, slots=True)
class Retried:
    """
    Args:
        resolved: rows that were written, or need no work any more.
        left: the first of those that still fail.
    """

    outcome: Outcome
    resolved: int
    left: tuple[Rejected, ...]


def list_rejects(url: str, name: str, limit: int | None) -> tuple[RunRecord, list[Rejected]]:
    """The last run of that name, and its rows that could not be written; up to `limit` of them.

    Raises:
        NoSuchRun: naming those that exist.
    """
    with (
        closing(Session(url, "evolve backfill rejects")) as session,
        told(f'rejects of backfill "{name}" could not be read', session),
    ):
        record = journal.named_run(session.current(), name)
        return record, set_aside.rejects(session.current(), record.run_id, limit)


def retry_rejects(
    url: str,
    name: str,
    *,
    pace: Pace,
    stop: Stop,
    watch: Watch,
    verify: bool = True,
    observer: Observer = nobody,
) -> Retried:
    """Write each of these rows as the run would, a few in a transaction; one that fails again stays where it is.

    Raises:
        NoSuchRun, NotDoneYet, AlreadyRunning, NoLastingKey: they cannot be tried now.
        EvolveError: the causes of `Lead.retry`.
    """
    pace.check()
    with closing(Session(url, f"evolve backfill {name}", pace.timeouts)) as session:
        with told(f'rejects of backfill "{name}" could not be tried again', session):
            connection = session.current()
            refuse_read_only(connection)
            journal.bring_up_to_date(connection)
            record = journal.named_run(connection, name)
            if record.held and record.holder is not None:
                raise AlreadyRunning(record, record.holder)
            if record.state is not State.DONE:
                raise NotDoneYet(record)
            spec = replace(record.spec, key=tuple(column.name for column in record.key))
            target = read_target(connection, spec, newest_first=record.newest_first)
            if target.by_block:
                raise NoLastingKey(record)
        if not record.rejects:
            outcome = Outcome(
                name, State.DONE, record.changed, record.batches, 0.0, record.verify, already=True
            )
        else:
            lead = Lead(url, session, record, target, pace, stop, watch, verify=verify, observer=observer)
            outcome = lead.retry()
        left = set_aside.rejects(session.current(), record.run_id)
    return Retried(outcome, record.rejects - outcome.rejects, tuple(left))
