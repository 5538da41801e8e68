"""EV645: a partition is detached, and a later statement is to change its rows through the partitioned table."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DetachedBeforeChange(Rule):
    id = "EV645"
    name = "detached-before-change"
    severity = Severity.WARNING
    looks_at = (op.Update, op.Delete)
    why = (
        "UPDATE and DELETE reach the partitions that a table has when they run: the rows of one that was detached "
        "before stay as they were, and nothing says so"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Update(table):
                verb = "UPDATE"
            case op.Delete(table):
                verb = "DELETE"
            case _:
                return
        left = [name for name in _detached(table, history) if _still_apart(name, history)]
        if left:
            yield self.finding(
                step,
                f'the {verb} of "{table.plain}" does not reach "{left[0].plain}", which was detached before',
                fix=f'change the rows first, or name "{left[0].plain}" as well',
            )


def _detached(table: QualifiedName, history: History) -> Iterator[QualifiedName]:
    for place in history.steps.places(op.DetachPartition, table):
        step = history.steps[place]
        if isinstance(step.operation, op.DetachPartition) and step.revision == history.revision[0].revision:
            yield step.operation.partition


def _still_apart(partition: QualifiedName, history: History) -> bool:
    """False where it is gone, was attached again, or is changed in the revision by its own name."""
    found = history.schema.table(partition)
    if found is None or found.partition_of is not None:
        return False
    named = (step.operation for step in history.revision)
    return not any(
        isinstance(each, op.Update | op.Delete | op.DropTable) and each.table == partition for each in named
    )
