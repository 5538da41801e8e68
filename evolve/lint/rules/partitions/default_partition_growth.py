"""EV507: a DEFAULT partition, which takes rows that nobody has made a partition for."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DefaultPartitionGrowth(Rule):
    id = "EV507"
    name = "default-partition-growth"
    severity = Severity.INFO
    looks_at = (op.CreateTable, op.AttachPartition)
    opt_in = True
    why = (
        "it hides that a partition is missing until it is large; then every new partition reads it under a lock, and "
        "DETACH CONCURRENTLY is refused"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateTable(partition_of=parent, bound="DEFAULT", table=name) if parent is not None:
                pass
            case op.AttachPartition(parent, name, "DEFAULT"):
                pass
            case _:
                return
        yield self.finding(
            step,
            f'"{name.plain}" takes every row of "{parent.plain}" that has no partition of its own',
            fix="make partitions ahead of time instead: evolve partition premake",
        )
