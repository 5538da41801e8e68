"""EV118: a change of type that leaves the rows as they are and builds indexes anew."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.changed_type import changed_type
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AlterTypeIndexRebuild(Rule):
    id = "EV118"
    name = "alter-type-index-rebuild"
    severity = Severity.WARNING
    looks_at = (op.AlterColumnType,)
    peers = ("eugene:E10",)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    why = (
        "the rows stay as they are, but PostgreSQL builds the indexes anew under a lock that stops all reads and "
        "writes; a second column with indexes of its own, built concurrently, has no such cost"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        changed = changed_type(step, history)
        if (
            changed is None
            or not changed.in_use
            or changed.fails
            or changed.effect.rewrites
            or not changed.effect.rebuilds
        ):
            return
        indexes = ", ".join(f'"{index.plain}"' for index in sorted(changed.effect.rebuilds, key=str))
        yield self.finding(
            step,
            f"changing {changed}{_collation(changed.operation)} builds {indexes} anew under {self.lock}",
            table=changed.table,
            scan=changed.table in changed.effect.scans,
        )


def _collation(operation: op.AlterColumnType) -> str:
    return f", sorted by {operation.collation}," if operation.collation else ""
