"""Ask a backfill to stop for now, or for good."""

from __future__ import annotations

from contextlib import closing

from evolve.app.backfill_work import actor, told
from evolve.backfill.ports import Want
from evolve.backfill.record import RunEnded, RunRecord
from evolve.backfill.status import ENDED, State
from evolve.errors import Refused
from evolve.postgres import journal
from evolve.postgres.session import Session
from evolve.postgres.writable import refuse_read_only


class HalfUndone(Refused):
    def __init__(self, record: RunRecord) -> None:
        rest = "" if record.held else ", which goes on where it stands"
        super().__init__(
            f'backfill "{record.name}" is being undone: there is nothing to cancel',
            why="what an undo has not come to yet would keep its new value beside rows that have their old ones, and"
            " nobody could tell them apart",
            fix=f"finish it: evolve backfill undo {record.name}{rest}"
            + (
                f"; or let it rest: evolve backfill pause {record.name}"
                if record.held
                else f"; or give up the old values that are left: evolve backfill forget {record.name} --force"
            ),
        )


def pause_backfill(url: str, name: str) -> RunRecord:
    """The worker stops at its next commit; without one the run is paused at once. Pausing twice is no error.

    Raises:
        NoSuchRun
        RunEnded: there is nothing left to pause.
    """
    return _ask(url, name, Want.PAUSE)


def cancel_backfill(url: str, name: str) -> RunRecord:
    """As `pause_backfill`, but the run ends: rows stay as they are, and only undo or a restart follow.

    Raises:
        NoSuchRun
        RunEnded: it has ended already.
        HalfUndone: its undo has begun.
    """
    return _ask(url, name, Want.CANCEL)


def _ask(url: str, name: str, want: Want) -> RunRecord:
    with (
        closing(Session(url, "evolve backfill control")) as session,
        told(f'backfill "{name}" could not be reached', session),
    ):
        refuse_read_only(session.current())
        journal.bring_up_to_date(session.current())
        record = journal.named_run(session.current(), name)
        if record.state in ENDED:
            raise RunEnded(
                record,
                why="no worker is there to stop",
                fix=f"see what it did: evolve backfill status {name}",
            )
        if record.state is State.UNDOING and want is Want.CANCEL:
            raise HalfUndone(record)
        if record.state is State.UNDOING and not record.held:
            return record  # it stands still already, and keeps its state
        if record.state is State.FAILED and want is Want.PAUSE:
            return record
        journal.ask(session.current(), record, want, actor())
        return journal.named_run(session.current(), name)
