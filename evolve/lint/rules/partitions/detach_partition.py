"""EV267: `DETACH PARTITION` takes rows away from whoever reads and writes them through the partitioned table."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DetachPartition(Rule):
    id = "EV267"
    name = "detach-partition"
    severity = Severity.INFO
    looks_at = (op.DetachPartition,)
    breaks_old_code = True
    opt_in = True
    why = (
        "code goes through the partitioned table: it no longer finds the rows of a detached partition, and an INSERT "
        "of such a row fails unless another partition takes it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DetachPartition(table, partition, finalize=False):
                pass
            case _:
                return
        if not history.in_use(table) or not history.in_use(partition) or _comes_back(table, history):
            return
        default = history.schema.default_partition(table)
        taken = f'; new ones go to "{default.name.plain}"' if default is not None else ""
        yield self.finding(
            step,
            f'queries of "{table.plain}" no longer see the rows of "{partition.plain}"{taken}',
            fix="detach it once no release reads or writes those rows, and say so in an allow comment",
        )


def _comes_back(table: QualifiedName, history: History) -> bool:
    """True where the same transaction gives the table a partition again, such as the detached one in two halves."""
    here = history.revision[history.position].transaction
    return here is not None and any(
        later.transaction == here and _joins(later.operation, table) for later in history.later()
    )


def _joins(operation: op.Operation, table: QualifiedName) -> bool:
    match operation:
        case op.AttachPartition(table=parent) | op.CreateTable(partition_of=parent):
            return parent == table
        case _:
            return False
