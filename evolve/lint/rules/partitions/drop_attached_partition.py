"""EV515: `DROP TABLE` of a partition that is still attached."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropAttachedPartition(Rule):
    id = "EV515"
    name = "drop-attached-partition"
    severity = Severity.ERROR
    looks_at = (op.DropTable,)
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "it waits for every query on the partitioned table, and all others queue behind it; once detached, a table is "
        "dropped without anybody noticing"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropTable(table):
                found = history.schema.table(table)
                parent = found.partition_of if found is not None else None
            case _:
                return
        if parent is None or not history.in_use(parent):
            return
        default = history.schema.default_partition(parent)
        yield self.finding(
            step,
            f'dropping "{table.plain}" while it is attached locks all of "{parent.plain}"',
            table=parent,
            fix=f'op.drop_partition("{parent.plain}", "{table.plain}") in an autocommit block: it detaches it first, '
            "concurrently"
            if default is None or default.name == table
            # PostgreSQL: "cannot detach partitions concurrently when a default partition exists".
            else "set a short lock_timeout and try again, as evolve upgrade does: the DEFAULT partition "
            f'"{default.name.plain}" forbids detaching concurrently',
        )
