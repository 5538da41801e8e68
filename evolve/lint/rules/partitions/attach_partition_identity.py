"""EV517: `ATTACH PARTITION` of a table with an identity of its own, before PostgreSQL 17."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import quote
from evolve.sql.steps import Step

# From here on PostgreSQL refuses it, and EV679 says so.
_REFUSED = 17


class AttachPartitionIdentity(Rule):
    id = "EV517"
    name = "attach-partition-identity"
    severity = Severity.WARNING
    versions = "14-16"
    looks_at = (op.AttachPartition,)
    why = (
        "rows that come through the partitioned table are numbered by its sequence, and rows that come straight into "
        "the partition by another: both give the same numbers"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AttachPartition(parent, partition) if history.postgres_version < _REFUSED:
                found = history.schema.table(partition)
            case _:
                return
        if found is None or not history.in_use(parent):
            return
        for column in found.columns:
            if column.identity is not None:
                yield self.finding(
                    step,
                    f'"{partition.plain}.{column.name}" keeps its own sequence beside that of "{parent.plain}"',
                    fix=f"drop it before, once rows come through the partitioned table only: ALTER TABLE {partition} "
                    f"ALTER COLUMN {quote(column.name)} DROP IDENTITY",
                )
