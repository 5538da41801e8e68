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
    looks_at = (
        op.AddColumn,
        op.DropColumn,
        op.RenameColumn,
        op.AlterColumnType,
        op.DropNotNull,
        op.AddIdentity,
    )
    fails = True
    why = (
        "a column that a partition or a child table has from its parent is added, dropped, renamed and changed on "
        "the parent, which does it to all of them: PostgreSQL refuses it on one alone"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table=table) as add:
                yield from self._added(step, add, table, history)
                return
            case op.DropNotNull(table, column):
                parent = _not_null_above(history, table, column)
            case op.AddIdentity(table, column) if history.postgres_version >= 17:
                found = history.schema.table(table)
                parent = found.partition_of if found is not None else None
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

    def _added(
        self, step: Step, add: op.AddColumn, table: QualifiedName, history: History
    ) -> Iterator[Finding]:
        """A partition has no columns but those of its parent."""
        found = history.schema.table(table)
        if found is None or found.partition_of is None or not certain(step, history):
            return
        parent = found.partition_of.plain
        yield self.finding(
            step,
            f'"{table.plain}" is a partition of "{parent}", and takes no column "{add.column.name}" alone',
            fix=f'add it to "{parent}"',
        )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return WHERE_REFUSED if any(self.check(step, history)) else ()


def _not_null_above(history: History, table: QualifiedName, column: str) -> QualifiedName | None:
    """The parent that has the column NOT NULL; children by INHERITS are bound by that from 18 on."""
    found = history.schema.table(table)
    if found is None or (found.partition_of is None and history.postgres_version < 18):
        return None
    above = (found.partition_of,) if found.partition_of is not None else found.inherits
    for parent in above:
        known = history.schema.column(parent, column)
        if known is not None and known.not_null:
            return parent
    return None


def _parent(history: History, table: QualifiedName, column: str) -> QualifiedName | None:
    found = history.schema.table(table)
    if found is None or found.column(column) is None:
        return None
    above = (found.partition_of,) if found.partition_of is not None else found.inherits
    return next((parent for parent in above if history.schema.column(parent, column) is not None), None)
