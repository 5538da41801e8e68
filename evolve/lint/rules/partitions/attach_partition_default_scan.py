"""EV503: `ATTACH PARTITION` reads every row of the DEFAULT partition."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import partition_code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AttachPartitionDefaultScan(Rule):
    id = "EV503"
    name = "attach-partition-default-scan"
    severity = Severity.ERROR
    looks_at = (op.AttachPartition,)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    why = (
        "the DEFAULT partition is locked until PostgreSQL has seen that none of its rows belongs into the new one; a "
        "validated CHECK on it that excludes them spares the reading, and refuses new ones in the meantime"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AttachPartition(table, partition, bound):
                parent = history.schema.table(table)
            case _:
                return
        default = partition_code.default_in_the_way(history, parent, bound) if parent is not None else None
        if parent is None or default is None:
            return
        joining = history.schema.table(partition)
        yield self.finding(
            step,
            f'attaching "{partition.plain}" reads every row of "{default.name.plain}", the DEFAULT partition, while '
            "it is locked",
            table=default.name,
            # Where ranges meet in the partitions of the DEFAULT one the lock is on them as well.
            scan=default.partition_by is None,
            safe=partition_code.attach(history, joining, partition, parent, bound),
            fix="add a CHECK to the DEFAULT partition that excludes the new bound, and validate it first",
        )
