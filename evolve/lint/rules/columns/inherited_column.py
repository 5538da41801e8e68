"""EV673: a partition or a child table changes a column that it has from its parent."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class InheritedColumn(Rule):
    id = "EV673"
    name = "inherited-column"
    severity = Severity.ERROR
    looks_at = (op.DropColumn, op.RenameColumn, op.AlterColumnType)
    fails = True
    why = (
        "a column that a partition or a child table has from its parent is dropped, renamed and given another type on "
        "the parent, which does it to all of them: PostgreSQL refuses it on one alone"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case (
                op.DropColumn(table, column)
                | op.RenameColumn(table, column)
                | op.AlterColumnType(table, column)
            ):
                parent = _parent(history, table, column)
            case _:
                return
        if parent is not None and certain(step, history):
            yield self.finding(
                step,
                f'"{table.plain}" has the column "{column}" from "{parent.plain}"',
                fix=f'change it on "{parent.plain}"',
            )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return WHERE_REFUSED if any(self.check(step, history)) else ()


def _parent(history: History, table: QualifiedName, column: str) -> QualifiedName | None:
    found = history.schema.table(table)
    if found is None or found.column(column) is None:
        return None
    above = (found.partition_of,) if found.partition_of is not None else found.inherits
    return next((parent for parent in above if history.schema.column(parent, column) is not None), None)
