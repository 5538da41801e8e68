"""EV621: CONCURRENTLY on the index of a partitioned table."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes import partitioned_index
from evolve.lint.rules.indexes.made import name_of
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class ConcurrentlyPartitioned(Rule):
    id = "EV621"
    name = "concurrently-partitioned"
    severity = Severity.ERROR
    looks_at = (op.CreateIndex, op.DropIndex)
    fails = True
    why = (
        "PostgreSQL can neither build nor drop the index of a partitioned table concurrently; only the indexes of its "
        "partitions can be"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = spans_partitions(step.operation, history)
        if table is None:
            return
        match step.operation:
            case op.CreateIndex(index):
                yield self.finding(
                    step,
                    f'"{table.plain}" is partitioned, so CREATE INDEX CONCURRENTLY fails',
                    safe=partitioned_index.revisions(history.schema, index, name_of(index)),
                )
            case _:
                yield self.finding(
                    step,
                    f'"{table.plain}" is partitioned, so DROP INDEX CONCURRENTLY fails',
                    fix="drop it without CONCURRENTLY, with a short lock_timeout: it locks every partition, briefly",
                )


def spans_partitions(operation: op.Operation, history: History) -> QualifiedName | None:
    """The partitioned table whose index is built or dropped concurrently."""
    match operation:
        case op.CreateIndex(index, concurrently=True):
            name = index.table
        case op.DropIndex(index, concurrently=True) if index in history.schema.indexes:
            name = history.schema.indexes[index].definition.table
        case _:
            return None
    table = history.schema.table(name)
    return name if table is not None and table.partition_by is not None else None
