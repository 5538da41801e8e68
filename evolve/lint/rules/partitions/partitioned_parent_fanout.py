"""EV509: a change of a partitioned table that locks a great many partitions at once."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step

MANY = 50  # partitions


class PartitionedParentFanout(Rule):
    id = "EV509"
    name = "partitioned-parent-fanout"
    severity = Severity.WARNING
    looks_at = (
        op.AddColumn,
        op.DropColumn,
        op.RenameColumn,
        op.SetNotNull,
        op.DropNotNull,
        op.SetDefault,
        op.DropDefault,
        op.AddConstraint,
        op.DropConstraint,
        op.DropTrigger,
    )
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "the locks are taken one after the other and kept: queries stop at the first while the last is waited for, and "
        "each takes a slot of the server's lock table"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = getattr(step.operation, "table", None)
        found = history.schema.table(table) if table is not None else None
        if found is None or found.partition_by is None or not history.in_use(found.name):
            return
        locks = effect(step.operation, history.schema, history.postgres_version).locks
        below = {member.name for member in history.schema.family(found.name)} - {found.name}
        locked = [name for name in below if locks.get(name) is LockMode.ACCESS_EXCLUSIVE]
        if len(locked) >= MANY:
            yield self.finding(
                step,
                f'"{found.name.plain}" and its {len(locked)} partitions are all locked until the last of them is free',
                table=found.name,
                fix="run it with a short lock_timeout and retries, as evolve upgrade does; prove a CHECK on each "
                "partition first",
            )
