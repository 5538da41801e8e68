"""EV502: `ATTACH PARTITION` of a table whose rows nothing has shown to fit the bound."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import partition_code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AttachPartitionNoCheck(Rule):
    id = "EV502"
    name = "attach-partition-no-check"
    severity = Severity.ERROR
    looks_at = (op.AttachPartition,)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    why = (
        "nobody reads or writes the table that is attached until each of its rows is compared with the bound; a "
        "validated CHECK that says the same spares the reading"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AttachPartition(table, partition, bound) if history.in_use(partition):
                parent, joining = history.schema.table(table), history.schema.table(partition)
            case _:
                return
        if parent is None or joining is None or parent.partition_by is None:
            return
        if partition_code.is_proven(joining, parent, bound):
            return
        yield self.finding(
            step,
            f'every row of "{partition.plain}" is read while it is locked, to see that it fits {bound}',
            table=partition,
            safe=partition_code.attach(history, joining, partition, parent, bound),
            fix="add a CHECK that says what the bound demands, NOT NULL included, and validate it first",
        )
