"""Whether a backfill's work may be built upon: what other backfills, gates and revisions ask of its last run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evolve.backfill.record import RunRecord
from evolve.backfill.status import ENDED, State
from evolve.backfill.twice import adds_up
from evolve.counted import counted
from evolve.errors import Misuse, Refused
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Why not yet.

    Args:
        reason: a sentence about "it".
        command: what brings it on.
    """

    reason: str
    command: str


class WaitsForOthers(Refused):
    """
    Args:
        waits: (name, why) of each backfill that it comes after and that is not settled.
    """

    def __init__(self, name: str, waits: Sequence[tuple[str, Unsettled]]) -> None:
        shown = "; ".join(f'"{other}": {why.reason}' for other, why in waits)
        super().__init__(
            f'backfill "{name}" comes after others that are not done: {shown}',
            why="it reads what they write",
            fix=f"first: {waits[0][1].command}",
        )
        self.waits = tuple(waits)


class CircularOrder(Misuse):
    def __init__(self, circle: Sequence[str]) -> None:
        super().__init__(
            "backfills that wait for each other: " + " after ".join(f'"{name}"' for name in circle),
            why="none of them could ever begin",
            fix="take one of them out of an --after or an `after`",
        )


def unsettled(name: str, record: RunRecord | None) -> Unsettled | None:
    """None where the last run of `name` is done, and was verified without a miss if it can be verified.

    `evolve.plan.require_sql` asks the same in SQL.

    Args:
        record: its last run; None where there is none.
    """
    if record is None:
        return Unsettled("it has never run here", f"evolve backfill run {name}")
    if record.state is not State.DONE:
        if record.state is State.UNDOING:
            command = f"undo {name}"
        elif record.state in ENDED:
            command = record.anew
        elif record.held:
            command = f"status {name} --watch"
        else:
            command = f"resume {name}"
        return Unsettled(f"it is {record.state.value}", f"evolve backfill {command}")
    if record.rejects and (record.verify is None or not record.verify.clean):
        # Where somebody has mended them by hand, a verification that finds nothing settles it.
        return Unsettled(
            f"{counted(record.rejects, 'row')} could not be written", f"evolve backfill retry-rejects {name}"
        )
    if record.verify is not None and not record.verify.clean:
        return Unsettled(
            f"its verification found {counted(record.verify.misses, 'wrong row')}",
            f"evolve backfill status {name}"
            if adds_up(record.spec)
            else f"evolve backfill run {name} --restart",
        )
    if record.verify is None and record.verifiable:
        return Unsettled("it has not been verified", f"evolve backfill verify {name}")
    return None


def waits_for(after: Iterable[str], records: Mapping[str, RunRecord | None]) -> list[tuple[str, Unsettled]]:
    """Those of `after` that are not settled, in that order.

    Args:
        records: the last run of each.
    """
    found = ((name, unsettled(name, records.get(name))) for name in after)
    return [(name, why) for name, why in found if why is not None]


def refuse_circles(name: str, after: Sequence[str], known: Mapping[str, Sequence[str]]) -> None:
    """
    Args:
        after: what `name` is to come after.
        known: the same for others; those that are not in it come after none.

    Raises:
        CircularOrder: `name` would wait for itself.
    """
    path: list[str] = [name]
    seen: set[str] = set()

    def walk(nexts: Sequence[str]) -> None:
        for other in nexts:
            if other == name:
                raise CircularOrder([*path, name])
            if other not in seen:
                seen.add(other)
                path.append(other)
                walk(known.get(other, ()))
                path.pop()

    walk(after)
