"""EV177: a statement that writes gigabytes of WAL at once."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.facts import Size
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.predicted import predicted
from evolve.lint.rule import Rule
from evolve.lint.thresholds import MB
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

MANY = 5_000 * MB  # bytes


class ReplicationLag(Rule):
    id = "EV177"
    name = "replication-lag"
    severity = Severity.WARNING
    opt_in = True
    why = (
        "standbys receive and replay it in one piece behind which everything else queues, and WAL is kept until each "
        "of them, and every archive and subscriber, has it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if history.facts is None:
            return
        for table in _written(step, history):
            size = history.facts.size(table)
            amount = 0 if size is None else _wal(step.operation, size)
            if amount >= MANY and history.in_use(table):
                yield self.finding(
                    step,
                    f'about {amount / MB / 1000:,.0f} GB of WAL are written for "{table.plain}"',
                    fix="small transactions that wait for the standbys: evolve backfill",
                )


def _written(step: Step, history: History) -> Iterator[QualifiedName]:
    match step.operation:
        case (
            op.Update(table=table, where=False)
            | op.Delete(table=table, where=False)
            | op.CreateIndex(table=table)
        ):
            yield table
        case op.Truncate():
            return
        case _:
            yield from predicted(step, history).rewrites


def _wal(operation: op.Operation, size: Size) -> int:
    """In bytes: an index is a fifth of its table on average, a deleted row leaves its record and maybe its page."""
    match operation:
        case op.CreateIndex():
            return size.heap_bytes // 5
        case op.Delete():
            return size.heap_bytes // 2
        case _:
            return size.bytes
