"""EV171: a transaction that locks tables in use one after the other, which the application uses together or where
the second takes long.
"""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.one_transaction import part, where
from evolve.lint.predicted import predicted
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class MultiTableLock(Rule):
    id = "EV171"
    name = "multi-table-lock"
    severity = Severity.WARNING
    looks_at = (
        op.AddColumn,
        op.DropColumn,
        op.RenameColumn,
        op.AlterColumnType,
        op.SetNotNull,
        op.DropNotNull,
        op.SetDefault,
        op.DropDefault,
        op.AddIdentity,
        op.DropIdentity,
        op.AddConstraint,
        op.DropConstraint,
        op.RenameConstraint,
        op.RenameTable,
        op.MoveToSchema,
        op.AlterTableOther,
        op.DropTrigger,
        op.DropTable,
        op.DropIndex,
        op.Truncate,
        op.LockTable,
    )
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "while it waits for the second table the first stays locked; a transaction of the application that takes both "
        "the other way round is a deadlock, and one of them is killed"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        kept = [
            (name, taken)
            for name, (mode, taken) in history.transaction.locks.items()
            if mode is LockMode.ACCESS_EXCLUSIVE and _counts(name, taken, history)
        ]
        if not kept or any(taken.statement is step.statement for _, taken in kept):
            return
        if len({taken.statement for _, taken in kept}) > 1:
            return  # told of at the second table
        found = predicted(step, history)
        families = {_root(name, history) for name, _ in kept}
        added = [
            name
            for name, mode in found.locks.items()
            if mode is LockMode.ACCESS_EXCLUSIVE
            and _root(name, history) not in families
            and _counts(name, step, history)
        ]
        slow = not found.rewrites.isdisjoint(added) or not found.scans.isdisjoint(added)
        if added and (slow or any(_tied(name, other, history) for name, _ in kept for other in added)):
            first, taken = kept[0]
            yield self.finding(
                step,
                f'"{added[0].plain}" is locked too, while "{first.plain}" keeps its lock '
                f"from the statement {where(taken, step)}",
                table=added[0],
                rewrite=added[0] in found.rewrites,
                scan=added[0] in found.scans,
                fix=part(taken, step, "change one table in one revision"),
            )


def _counts(name: QualifiedName, step: Step, history: History) -> bool:
    """A table that traffic uses; one that is dropped is taken to have none any more, and a view is none."""
    schema = history.schema
    dropped = (isinstance(step.operation, op.DropTable) and step.operation.table == name) or isinstance(
        step.operation, op.DropView
    )
    other = name in schema.indexes or name in schema.sequences or name in schema.views
    return history.in_use(name) and not dropped and not other


def _tied(one: QualifiedName, other: QualifiedName, history: History) -> bool:
    """A foreign key leads from one to the other, so that one transaction of the application is likely to use both."""
    tables = ((history.schema.table(name), target) for name, target in ((one, other), (other, one)))
    return any(
        found is not None and target in {key.target for key in found.foreign_keys} for found, target in tables
    )


def _root(name: QualifiedName, history: History) -> QualifiedName:
    found = history.schema.table(name)
    above = (found.partition_of, *found.inherits) if found is not None else ()
    parent = next((each for each in above if each is not None), None)
    return _root(parent, history) if parent is not None else name
