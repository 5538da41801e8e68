"""Which runs may lose what they keep for undo, and when they are old enough to."""

from __future__ import annotations

from evolve.backfill.dependencies import unsettled
from evolve.backfill.record import RunRecord
from evolve.backfill.status import ENDED, State
from evolve.counted import counted
from evolve.errors import Refused


class StillGoesOn(Refused):
    def __init__(self, record: RunRecord) -> None:
        super().__init__(
            f'backfill "{record.name}" is {record.shown}, and cannot be forgotten yet',
            why="it needs what it keeps to go on",
            fix=f"let it end: evolve backfill undo {record.name}"
            f"{'' if record.held else f', or give its old values up: evolve backfill forget {record.name} --force'}"
            if record.state is State.UNDOING
            else f"let it end (evolve backfill resume {record.name}), or end it: evolve backfill cancel {record.name}",
        )


class StillNeeded(Refused):
    def __init__(self, record: RunRecord, reason: str, command: str) -> None:
        super().__init__(
            f'backfill "{record.name}" cannot be forgotten: {reason}',
            why="its old values are the only way back",
            fix=f"{command}; or give them up all the same: evolve backfill forget {record.name} --force",
        )


def may_forget(record: RunRecord, *, force: bool) -> None:
    """An ended run may be forgotten; where it keeps old values only once nobody should want them. With `force` also one
    whose undo stands still: its table may be such that the undo can never end.

    Raises:
        StillGoesOn: whatever else `force` says.
        StillNeeded: it was not verified though it can be, has missed rows, or was given up half-way.
    """
    stuck = force and record.state is State.UNDOING
    if record.held or (record.state not in ENDED and not stuck):
        raise StillGoesOn(record)
    if force or not record.journal:
        return
    match record.state:
        case State.CANCELLED:
            raise StillNeeded(
                record, "it was cancelled half-way", f"undo it: evolve backfill undo {record.name}"
            )
        case State.DONE:
            why = unsettled(record.name, record)
            if why is not None:
                raise StillNeeded(record, why.reason, f"first: {why.command}")
        case State.UNDONE if record.unrestored:
            raise StillNeeded(
                record,
                f"{counted(record.unrestored, 'row')} could not take their old values",
                f"mend them and undo it once more: evolve backfill undo {record.name}",
            )
        case _:
            return
