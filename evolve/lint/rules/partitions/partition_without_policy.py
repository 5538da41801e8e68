"""EV518: a partition for a range of time, made by hand, of a table that nobody makes the next ones for."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.schema import Table
from evolve.sql.steps import Step

_TIME = ("date", "timestamp")


class PartitionWithoutPolicy(Rule):
    id = "EV518"
    name = "partition-without-policy"
    severity = Severity.INFO
    looks_at = (op.AttachPartition, op.CreateTable)
    opt_in = True
    why = (
        "time goes on: once the last partition is over, each INSERT fails, and the next revision comes when somebody "
        "remembers"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AttachPartition(parent, partition, bound):
                pass
            case op.CreateTable(partition_of=parent, table=partition, bound=str(bound)) if parent is not None:
                pass
            case _:
                return
        found = history.schema.table(parent)
        if found is None or bound == "DEFAULT" or not _by_time(found) or found.managed_by is not None:
            return
        if not history.premade.isdisjoint({parent.plain, f"{parent.schema}.{parent.name}"}):
            return
        yield self.finding(
            step,
            f'"{partition.plain}" has an end, and the settings do not say who makes the partition of '
            f'"{parent.plain}" after it',
            fix=f'write [tool.evolve.partition."{parent.plain}"], and run evolve partition premake each day',
        )


def _by_time(table: Table) -> bool:
    by = table.partition_by
    column = table.column(by.keys[0]) if by is not None and by.method == "range" else None
    return column is not None and column.type.startswith(_TIME)
