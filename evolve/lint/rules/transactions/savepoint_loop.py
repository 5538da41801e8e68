"""EV174: more savepoints in one transaction than PostgreSQL keeps at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op

MANY = 64  # PGPROC_MAX_CACHED_SUBXIDS


class SavepointLoop(Rule):
    id = "EV174"
    name = "savepoint-loop"
    severity = Severity.WARNING
    why = (
        "each savepoint that writes is a transaction of its own to every other session: past 64 they look each up on "
        "disk, and the whole server slows down, replicas most of all"
    )

    def finish(self, history: History) -> Iterator[Finding]:
        counts: Counter[tuple[str, int]] = Counter()
        for step in history.steps:
            if step.operation != op.TransactionControl("savepoint") or step.transaction is None:
                continue
            counts[step.revision, step.transaction] += 1
            if counts[step.revision, step.transaction] == MANY + 1:
                yield self.finding(
                    step,
                    f"more than {MANY} savepoints are set in one transaction",
                    fix="one savepoint round the loop, not one in each turn; or small transactions: evolve backfill",
                )
