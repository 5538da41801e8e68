"""What a SQLSTATE means for a batch: try again, try smaller, reconnect, or stop."""

from __future__ import annotations

from enum import Enum

from evolve.backfill.ports import DatabaseFailure


class Verdict(Enum):
    CONTENDED = "contended"  # somebody else was in the way: wait with jitter, half the size
    TOO_SLOW = "too slow"  # the statement ran out of time: half the size, at once
    EXHAUSTED = "exhausted"  # disk, memory or connections ran out: wait, same size
    DISCONNECTED = "disconnected"  # reconnect, then read the cursor back
    FATAL = "fatal"  # trying again gives the same answer


CONTENDED = frozenset({"40P01", "40001", "55P03", "55006"})
# 25006: a transaction that may only read: the server became a standby, and the primary is elsewhere by now.
# 57P*: shutdown, crash of another backend, not yet accepting connections, idle session ended.
# 25P03: idle in transaction; the session was ended for it.
DISCONNECTED = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25006"})


def judge(failure: DatabaseFailure) -> Verdict:
    """Decide by SQLSTATE, never by text."""
    state = failure.sqlstate
    if failure.lost or state is None or state in DISCONNECTED or state.startswith("08"):
        return Verdict.DISCONNECTED
    if state in CONTENDED:
        return Verdict.CONTENDED
    if state == "57014":
        return Verdict.TOO_SLOW
    if state.startswith("53"):
        return Verdict.EXHAUSTED
    return Verdict.FATAL
