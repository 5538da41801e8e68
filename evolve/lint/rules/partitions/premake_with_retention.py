"""EV516: one transaction makes a new partition and lets an old one go."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.bound_conflict import conflict
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Table
from evolve.sql.steps import Step


class PremakeWithRetention(Rule):
    id = "EV516"
    name = "premake-with-retention"
    severity = Severity.WARNING
    looks_at = (op.DetachPartition, op.DropTable)
    why = (
        "a lock that the old partition does not get, or a row that still refers to it, takes back the new one too; "
        "inserts fail when the last partition is full"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DetachPartition(_, partition, finalize=False) | op.DropTable(partition):
                gone = history.schema.table(partition)
            case _:
                return
        if gone is None or gone.partition_of is None or not history.in_use(gone.partition_of):
            return
        made = next(_made_beside(step, gone.partition_of, history), None)
        parent = history.schema.table(gone.partition_of)
        if made is None or parent is None or _replaces(parent, gone, made[1]):
            return
        yield self.finding(
            step,
            f'the transaction that lets "{partition.plain}" go also makes "{made[0].plain}", and fails with it',
            fix="give each of them a revision of its own, as evolve partition premake and retain run apart",
        )


def _made_beside(step: Step, parent: QualifiedName, history: History) -> Iterator[tuple[QualifiedName, str]]:
    """New partitions of the same transaction, with their bounds."""
    if step.transaction is None:
        return
    for other in history.revision:
        if other.transaction != step.transaction:
            continue
        match other.operation:
            case op.AttachPartition(table, partition, bound) if table == parent:
                yield partition, bound
            case op.CreateTable(partition_of=table, table=partition, bound=str(bound)) if table == parent:
                yield partition, bound
            case _:
                pass


def _replaces(parent: Table, gone: Table, bound: str) -> bool:
    """A partition that is split, merged or exchanged must go in the transaction in which its rows come back."""
    return bound == "DEFAULT" or gone.bound == "DEFAULT" or conflict(parent, bound, [gone]) is not None
