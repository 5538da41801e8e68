"""EV601: a CONCURRENTLY statement inside a transaction, where PostgreSQL refuses it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class ConcurrentlyInTransaction(Rule):
    id = "EV601"
    name = "concurrently-in-transaction"
    severity = Severity.ERROR
    fails = True
    why = (
        "PostgreSQL refuses it inside a transaction block, and Alembic opens one around every revision; "
        "autocommit_block() steps out of it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:  # the hook's signature
        if step.transaction is None:
            return
        match step.operation:
            case op.CreateIndex(concurrently=True):
                what = "CREATE INDEX CONCURRENTLY"
            case op.DropIndex(concurrently=True):
                what = "DROP INDEX CONCURRENTLY"
            case op.Reindex(concurrently=True):
                what = "REINDEX CONCURRENTLY"
            case op.DetachPartition(concurrently=True):
                what = "DETACH PARTITION … CONCURRENTLY"
            case _:
                return
        yield self.finding(
            step,
            f"{what} runs inside a transaction and fails",
            safe=(code.autocommit(code.execute(step.sql)),),
        )
