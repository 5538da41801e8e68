"""EV657: several revisions share a transaction, and the locks of the first are kept until the last has ended."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class SharedTransaction(Rule):
    id = "EV657"
    name = "alembic-transaction-per-migration-off"
    severity = Severity.WARNING
    why = (
        "unless env.py says otherwise, Alembic puts all pending revisions into one transaction: every lock is held "
        "until the last of them is done, and what was split over revisions is not split at all"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        # The next phase of a planned change is written when the one before is applied and has its evidence.
        if step.transaction is None or history.position > 0 or step.revision in history.planned:
            return
        before = {earlier.revision for earlier in history.steps if earlier.transaction == step.transaction}
        kept = history.transaction.strongest()
        # Said once in a rollout: where the second revision begins.
        if len(before) != 1 or kept is None or kept[1] < LockMode.SHARE:
            return
        table, mode, earlier = kept
        yield self.finding(
            step,
            f'this revision runs in the transaction of "{earlier.revision}", which keeps {mode} on "{table.plain}"',
            table=table,
            lock=mode,
            fix="pass transaction_per_migration=True to context.configure() in env.py, or run evolve upgrade",
        )
