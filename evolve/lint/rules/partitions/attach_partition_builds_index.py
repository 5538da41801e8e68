"""EV504: `ATTACH PARTITION` builds the parent's indexes that the table lacks."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import partition_code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AttachPartitionBuildsIndex(Rule):
    id = "EV504"
    name = "attach-partition-builds-index"
    severity = Severity.WARNING
    looks_at = (op.AttachPartition,)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    why = (
        "a partition has every index of its parent: those that the table lacks are built while it is locked, and "
        "nothing in the statement says so"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AttachPartition(table, partition, bound) if history.in_use(partition):
                parent, joining = history.schema.table(table), history.schema.table(partition)
            case _:
                return
        if parent is None or joining is None:
            return
        missing = partition_code.missing_indexes(history, partition, table)
        if missing:
            listed = ", ".join(f'"{index.name.plain}"' for index in missing)
            yield self.finding(
                step,
                f'"{partition.plain}" lacks the likes of {listed}: attaching builds them while it is locked',
                table=partition,
                safe=partition_code.attach(history, joining, partition, parent, bound),
                fix="build the same indexes on it first, CONCURRENTLY; for a key add the constraint with USING INDEX",
            )
