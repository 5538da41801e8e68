"""EV158: `LOCK TABLE` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class LockTable(Rule):
    id = "EV158"
    name = "lock-table"
    severity = Severity.WARNING
    looks_at = (op.LockTable,)
    why = (
        "it waits for every transaction that uses the table, everything that comes later waits behind it, and the lock "
        "is kept until the transaction ends; let the statement that needs a lock take it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.LockTable(tables=tables, mode=mode) if (
                mode.blocks_writes and step.transaction is not None
            ):
                held = [t for t in tables if history.in_use(t) and not _taken_anyway(step, t, mode, history)]
                if held:
                    yield self.finding(
                        step,
                        f'"{held[0].plain}" is locked by hand, which stops {mode.blocks}',
                        table=held[0],
                        lock=mode,
                    )
            case _:
                return


def _taken_anyway(step: Step, table: QualifiedName, mode: LockMode, history: History) -> bool:
    """True where a later statement of the transaction takes as strong a lock: then it only comes earlier."""
    for later in history.later():
        if later.transaction == step.transaction and not isinstance(later.operation, op.LockTable):
            locks = effect(later.operation, history.schema, history.postgres_version).locks
            if locks.get(table, LockMode.ACCESS_SHARE) >= mode:
                return True
    return False
