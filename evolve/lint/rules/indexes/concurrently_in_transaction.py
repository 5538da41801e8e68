"""EV601: a CONCURRENTLY statement inside a transaction, where PostgreSQL refuses it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.one_transaction import committed_by_hand
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.concurrently_partitioned import spans_partitions
from evolve.sql import operations as op
from evolve.sql.steps import Step


class ConcurrentlyInTransaction(Rule):
    id = "EV601"
    name = "concurrently-in-transaction"
    severity = Severity.ERROR
    looks_at = (op.CreateIndex, op.DropIndex, op.Reindex, op.DetachPartition, op.TransactionControl)
    fails = True
    peers = ("squawk:ban-concurrent-index-creation-in-transaction", "zdm:R004")
    why = (
        "PostgreSQL refuses it inside a transaction block, and Alembic opens one around every revision; "
        "autocommit_block() steps out of it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if step.transaction is None or spans_partitions(step.operation, history) is not None:
            return  # EV621 is for what is refused in autocommit as well
        safe = code.autocommit(code.execute(step.sql))
        match step.operation:
            case op.CreateIndex(index, concurrently=True):
                what = "CREATE INDEX CONCURRENTLY"
                # Anew, and without IF NOT EXISTS: that would keep the invalid index of a failed build.
                safe = code.create_index_concurrently(index, index.name) if index.name else safe
            case op.DropIndex(concurrently=True):
                what = "DROP INDEX CONCURRENTLY"
            case op.Reindex(concurrently=True):
                what = "REINDEX CONCURRENTLY"
            case op.DetachPartition(concurrently=True):
                what = "DETACH PARTITION … CONCURRENTLY"
            case _:
                return
        committed = committed_by_hand(step, history)
        yield self.finding(
            step,
            f"{what} fails with psycopg 3, which opens the next transaction right after COMMIT"
            if committed
            else f"{what} runs inside a transaction and fails",
            # With psycopg2 the trick works.
            severity=Severity.WARNING if committed else None,
            safe=(safe,),
        )
