"""EV627: a revision that cannot be taken back as a whole, nor run again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

# What fails where it is run a second time, unless it says IF [NOT] EXISTS or OR REPLACE.
_ONCE = (
    op.AddColumn,
    op.AddConstraint,
    op.AddEnumValue,
    op.AttachIndex,
    op.AttachPartition,
    op.CreateDomain,
    op.CreateEnum,
    op.CreateFunction,
    op.CreateIndex,
    op.CreateSequence,
    op.CreateTable,
    op.CreateTrigger,
    op.CreateView,
    op.DetachPartition,
    op.DropColumn,
    op.DropConstraint,
    op.DropIndex,
    op.DropSequence,
    op.DropTable,
    op.DropTrigger,
    op.DropType,
    op.DropView,
    op.Insert,
    op.MoveToSchema,
    op.RenameColumn,
    op.RenameConstraint,
    op.RenameEnumValue,
    op.RenameIndex,
    op.RenameSequence,
    op.RenameTable,
    op.RenameType,
    op.RenameView,
)


class ConcurrentlyNotAlone(Rule):
    id = "EV627"
    name = "concurrently-not-alone"
    severity = Severity.WARNING
    looks_at = (op.CreateIndex, op.DetachPartition)
    why = (
        "a statement in autocommit mode commits what stands before it, and its own work is never taken back: when the "
        "revision fails half way, Alembic counts it as not applied, and the next attempt fails on what is there already"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if not _concurrent(step) or any(
            _concurrent(earlier) for earlier in history.revision[: history.position]
        ):
            return
        renewed = _renewed(history.revision)
        before = next(
            (other for other in history.revision[: history.position] if _once(other, renewed)), None
        )
        behind = history.later() if _once(step, renewed) else ()
        other = before or next(
            (other for other in behind if _once(other, renewed) and not _drops(other)), None
        )
        if other is not None:
            yield self.finding(
                step,
                f"this is not alone in its revision: when it fails, what stands at line {other.place.line} "
                + ("stays done" if before else "is still to do, and this may be done already"),
                fix="give each of them a revision of its own",
            )


def _concurrent(step: Step) -> bool:
    match step.operation:
        case op.CreateIndex(concurrently=True, if_not_exists=False) | op.DetachPartition(concurrently=True):
            return step.transaction is None
        case _:
            return False


def _drops(step: Step) -> bool:
    """The end of a replacement: there is nothing to build, so hardly anything to fail."""
    return isinstance(step.operation, op.DropIndex) and step.operation.concurrently


def _renewed(revision: Sequence[Step]) -> frozenset[str]:
    """Names of indexes that the revision drops IF EXISTS before it builds them, so that it can run again."""
    dropped = (step.operation for step in revision if isinstance(step.operation, op.DropIndex))
    return frozenset(operation.index.name for operation in dropped if operation.if_exists)


def _once(step: Step, renewed: frozenset[str]) -> bool:
    operation = step.operation
    if step.statement.undone or step.statement.looks_first:
        return False
    if isinstance(operation, op.CreateIndex) and operation.index.name in renewed:
        return False
    repeatable = any(getattr(operation, word, False) for word in ("if_exists", "if_not_exists", "replace"))
    return isinstance(operation, _ONCE) and not repeatable
