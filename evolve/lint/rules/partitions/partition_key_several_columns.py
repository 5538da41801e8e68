"""EV508: a range partition key of several columns."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class PartitionKeySeveralColumns(Rule):
    id = "EV508"
    name = "partition-key-several-columns"
    severity = Severity.INFO
    looks_at = (op.CreateTable,)
    opt_in = True
    why = (
        "bounds are compared like words, first column first: a query that gives only the second column reads every "
        "partition, and no CHECK spares ATTACH its reading as plainly as for one column"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateTable(table=table, partition_by=op.PartitionBy("range", keys)) if len(keys) > 1:
                yield self.finding(
                    step,
                    f'"{table.plain}" is partitioned by ranges of {len(keys)} columns together: {", ".join(keys)}',
                    fix=f"partition by {keys[0]}, and its partitions by {keys[1]} where that is needed",
                )
            case _:
                return
