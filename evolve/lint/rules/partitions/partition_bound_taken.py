"""EV678: a partition with a bound that PostgreSQL refuses: another one has its keys, or it is empty."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.bound_conflict import conflict
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

_OF_PARTITIONS = (
    *WHERE_REFUSED,
    "create-partition-of",
    "attach-partition-no-check",
    "attach-partition-default-scan",
    "attach-partition-builds-index",
    "partition-misfit",
)


class PartitionBoundTaken(Rule):
    id = "EV678"
    name = "partition-bound-taken"
    severity = Severity.ERROR
    looks_at = (op.CreateTable, op.AttachPartition)
    fails = True
    why = "each row belongs to one partition at most, so PostgreSQL refuses a bound that overlaps another"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table, partition, bound = _joining(step.operation, history)
        parent = history.schema.table(table) if table is not None else None
        if parent is None or parent.managed_by is not None:
            return  # partitions come and go without a revision
        others = (part for part in history.schema.partitions_of(parent.name) if part.name != partition)
        reason = conflict(parent, bound, others)
        if reason is not None and certain(step, history):
            yield self.finding(
                step,
                f'"{partition.plain}" cannot be a partition of "{parent.name.plain}": {reason}',
                fix="give it a bound of its own, or detach the other one first",
            )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return _OF_PARTITIONS if any(self.check(step, history)) else ()


def _joining(operation: op.Operation, history: History) -> tuple[QualifiedName | None, QualifiedName, str]:
    match operation:
        case op.CreateTable(partition_of=parent, bound=str(bound), table=table, if_not_exists=again):
            there = again and table in history.schema.tables
            return parent if not there else None, table, bound
        case op.AttachPartition(table, partition, bound):
            return table, partition, bound
        case _:
            return None, QualifiedName(""), ""
