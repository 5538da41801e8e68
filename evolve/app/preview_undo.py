"""What an undo would do just now: how many rows it would restore, and how many it would leave alone."""

from __future__ import annotations

from contextlib import closing

from evolve.app.backfill_work import told
from evolve.app.undo_backfill import undoable
from evolve.backfill.ports import Stop
from evolve.errors import Refused
from evolve.postgres import undo_journal
from evolve.postgres.session import Session
from evolve.values import dataclass


class PreviewStopped(Refused):
    def __init__(self, name: str, signal: str) -> None:
        super().__init__(
            f'the look at what an undo of backfill "{name}" would do was stopped by {signal}',
            fix=f"begin again: evolve backfill undo {name} --dry-run",
        )


@dataclass(frozen=True, slots=True)
class UndoPreview:
    """
    Args:
        rows: would get their old values back.
        changed, gone: changed or deleted since; would be left alone.
    """

    name: str
    rows: int
    changed: int
    gone: int


def preview_undo(url: str, name: str, *, stop: Stop) -> UndoPreview:
    """Compare every row in the undo journal with what it holds now, batch by batch; nothing is locked.

    Raises:
        NoSuchRun, RunEnded, AlreadyRunning, KeepsNoJournal, NothingToUndo: as `undo_backfill`.
        PreviewStopped: by a signal.
    """
    with (
        closing(Session(url, f"evolve backfill undo {name}")) as session,
        told(f'the undo of backfill "{name}" could not be looked at', session),
    ):
        connection = session.current()
        record, target = undoable(connection, name)
        rows = changed = gone = 0
        for batch in undo_journal.compare(connection, record.run_id, target):
            rows, changed, gone = rows + batch.restorable, changed + batch.changed, gone + batch.gone
            signal = stop.requested()
            if signal is not None:
                raise PreviewStopped(name, signal)
        return UndoPreview(name, rows, changed, gone)
