"""What a SQLSTATE means for a batch: try again, try smaller, reconnect, find the row that is at fault, or stop."""

from __future__ import annotations

from enum import Enum

from evolve.backfill.ports import DatabaseFailure


class Verdict(Enum):
    CONTENDED = (
        "contended"  # somebody else was in the way, or memory ran out: wait with jitter, half the size
    )
    TOO_SLOW = "too slow"  # the statement ran out of time: half the size, at once
    EXHAUSTED = "exhausted"  # disk or connections ran out: wait, same size
    DISCONNECTED = "disconnected"  # reconnect, then read the cursor back
    ROW = "row"  # what a row holds, or is to hold, cannot be: trying again gives the same answer for that row
    FATAL = "fatal"  # trying again gives the same answer for every row


# 40: deadlock, serialization. 55P03: lock timeout. 55006: object in use. 72000: snapshot too old.
# 53200: memory, also for locks. 53400: temporary files. Both want less at once.
CONTENDED = frozenset({"55P03", "55006", "72000", "53200", "53400"})
# 57014: statement_timeout, or pg_cancel_backend. 25P04: transaction_timeout, which ends the session.
TOO_SLOW = frozenset({"57014", "25P04"})
# 25006: a transaction that may only read: the server became a standby, and the primary is elsewhere by now.
# 57P*: shutdown, crash of another backend, not yet accepting connections, idle session ended.
# 25P03: idle in transaction; the session was ended for it. 08: the connection itself.
DISCONNECTED = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25006"})
# 22: casts, division, ranges. 23: check, unique, foreign key, not null. 44: WITH CHECK OPTION of a view.
# P0, 38, 2F, 20, 09: raised by a function or a trigger. 21: a subquery found two rows. 27: a trigger changed the row.
# 54: a value too large for its index, or nested too deep.
ROW = frozenset({"22", "23", "44", "P0", "38", "2F", "20", "09", "21", "27", "54"})


def judge(failure: DatabaseFailure) -> Verdict:
    """Decide by SQLSTATE, never by text."""
    state = failure.sqlstate
    if state in TOO_SLOW:
        return Verdict.TOO_SLOW
    if failure.lost or state is None or state in DISCONNECTED or state.startswith("08"):
        return Verdict.DISCONNECTED
    if state in CONTENDED or state.startswith("40"):
        return Verdict.CONTENDED
    if state.startswith("53"):
        return Verdict.EXHAUSTED
    return Verdict.ROW if state[:2] in ROW else Verdict.FATAL
