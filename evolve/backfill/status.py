"""The states of a run, which may follow which, and what an operator is shown."""

from __future__ import annotations

from enum import StrEnum

from evolve.backfill.ports import Want


class State(StrEnum):
    """What the journal holds. None of them needs a living process: a lease that ran out is free."""

    FENCING = "fencing"  # waiting for transactions older than the run
    RUNNING = "running"
    VERIFYING = "verifying"
    DONE = "done"
    PAUSED = "paused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNDOING = "undoing"
    UNDONE = "undone"


FOLLOWS: dict[State, frozenset[State]] = {
    State.FENCING: frozenset({State.RUNNING, State.PAUSED, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset(
        {State.VERIFYING, State.DONE, State.PAUSED, State.FAILED, State.CANCELLED, State.UNDOING}
    ),
    # Back to RUNNING where rows without a key moved behind the walk: it is done once more.
    State.VERIFYING: frozenset(
        {State.RUNNING, State.DONE, State.PAUSED, State.FAILED, State.CANCELLED, State.UNDOING}
    ),
    State.PAUSED: frozenset({State.FENCING, State.RUNNING, State.VERIFYING, State.CANCELLED, State.UNDOING}),
    State.FAILED: frozenset({State.FENCING, State.RUNNING, State.VERIFYING, State.CANCELLED, State.UNDOING}),
    State.DONE: frozenset({State.UNDOING}),
    State.CANCELLED: frozenset({State.UNDOING}),
    State.UNDOING: frozenset({State.UNDONE, State.CANCELLED}),  # the old values that were left are forgotten
    State.UNDONE: frozenset({State.UNDOING}),  # rows that could not take their old values are tried again
}

ACTIVE = frozenset({State.FENCING, State.RUNNING, State.VERIFYING, State.UNDOING})
ENDED = frozenset({State.DONE, State.CANCELLED, State.UNDONE})


def may_follow(old: State, new: State) -> bool:
    return new == old or new in FOLLOWS[old]


def before(new: State) -> tuple[State, ...]:
    """The states that may turn into `new`, itself included: taking the same step again is no error."""
    return tuple(old for old in State if may_follow(old, new))


def shown(state: State, want: Want, *, held: bool) -> str:
    """One word for an operator; a run whose worker is gone is never called running.

    Args:
        held: a worker's lease is still good.
    """
    if state not in ACTIVE:
        return state.value
    if not held:
        return "interrupted" if state is not State.UNDOING else "undo interrupted"
    match want:
        case Want.PAUSE:
            return "pausing"
        case Want.CANCEL:
            return "cancelling"
        case Want.RUN:
            return state.value
