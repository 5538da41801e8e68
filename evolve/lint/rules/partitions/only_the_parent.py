"""EV676: `ALTER TABLE ONLY` changes a table with partitions or children, and they would have to change with it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Table
from evolve.sql.steps import Step

# Servers before 18 also keep partitions from having a constraint or NOT NULL that their parent drops.
_DROPS_ALONE = 18
# The identity of a partitioned table became that of its partitions.
_SHARES_IDENTITY = 17


class OnlyTheParent(Rule):
    id = "EV676"
    name = "only-the-parent"
    severity = Severity.ERROR
    looks_at = (
        op.AddColumn,
        op.DropColumn,
        op.RenameColumn,
        op.AlterColumnType,
        op.SetNotNull,
        op.DropNotNull,
        op.AddIdentity,
        op.AddConstraint,
        op.DropConstraint,
        op.RenameConstraint,
        op.ValidateConstraint,
    )
    fails = True
    why = (
        "partitions and child tables have the columns and constraints of their parent: PostgreSQL refuses a change "
        "that ONLY keeps from them. Without ONLY it reaches them all"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = _changed_alone(step.operation)
        parent = history.schema.table(table) if table is not None else None
        if parent is None or not certain(step, history):
            return
        below = list(history.schema.children_of(parent.name))
        reason = _refusal(step.operation, parent, below, history) if below else None
        if reason is not None:
            yield self.finding(
                step,
                f'"{below[0].name.plain}" is below "{parent.name.plain}": {reason}',
                fix="leave ONLY out",
            )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return WHERE_REFUSED if any(self.check(step, history)) else ()


def _changed_alone(operation: op.Operation) -> QualifiedName | None:
    match operation:
        case (
            op.AddColumn(table=table, only=True)
            | op.DropColumn(table=table, only=True)
            | op.RenameColumn(table=table, only=True)
            | op.AlterColumnType(table=table, only=True)
            | op.SetNotNull(table=table, only=True)
            | op.DropNotNull(table=table, only=True)
            | op.AddIdentity(table=table, only=True)
            | op.AddConstraint(table=table, only=True)
            | op.DropConstraint(table=table, only=True)
            | op.RenameConstraint(table=table, only=True)
            | op.ValidateConstraint(table=table, only=True)
        ):
            return table
        case _:
            return None


def _refusal(operation: op.Operation, parent: Table, below: list[Table], history: History) -> str | None:
    """Why the server says no; None where it does not."""
    version, partitioned = history.postgres_version, parent.partition_by is not None
    match operation:
        case op.AddColumn(column=column) if parent.column(column.name) is None:
            return f'the column "{column.name}" has to be added to both'
        case op.DropColumn(column=name) if partitioned and parent.column(name) is not None:
            return f'the column "{name}" cannot go from the partitioned table alone'
        case op.RenameColumn(column=name) if parent.column(name) is not None:
            return f'the column "{name}" has to be renamed in both'
        case op.AlterColumnType(column=name) if parent.column(name) is not None:
            return f'the type of "{name}" has to change in both'
        case op.SetNotNull(column=name) if partitioned and _may_be_null(parent, name):
            if version >= _DROPS_ALONE or any(_may_be_null(child, name) for child in below):
                return f'"{name}" has to be NOT NULL in both'
        case op.DropNotNull(column=name) if partitioned and not _may_be_null(parent, name):
            return f'"{name}" stays NOT NULL there' if version < _DROPS_ALONE else None
        case op.AddIdentity(column=name) if partitioned and version >= _SHARES_IDENTITY:
            return f'the identity of "{name}" has to be that of both'
        case op.AddConstraint(constraint=op.Check(no_inherit=False)):
            return "the constraint has to be added to both"
        case op.AddConstraint(constraint=op.PrimaryKey(columns=columns)) if partitioned or version >= 18:
            lacking = [name for name in columns if any(_may_be_null(child, name) for child in below)]
            return f'"{lacking[0]}" has to be NOT NULL there as well' if lacking else None
        case op.DropConstraint(name=name) if partitioned and version < _DROPS_ALONE:
            return f'"{name}" stays there' if _inherits(parent, name) else None
        case op.RenameConstraint(name=name) if _inherits(parent, name):
            return f'"{name}" has to be renamed in both'
        case op.ValidateConstraint(name=name) if _inherits(parent, name):
            constraint = parent.constraint(name)
            if isinstance(constraint, op.Check) and constraint.not_valid:
                return f'"{name}" has to be validated there as well'
        case _:
            pass
    return None


def _may_be_null(table: Table, column: str) -> bool:
    found = table.column(column)
    return found is not None and not found.not_null and bool(found.type)


def _inherits(parent: Table, name: str) -> bool:
    """True for a CHECK, which is below the table as well; keys of partitions go with that of their parent."""
    constraint = parent.constraint(name)
    return isinstance(constraint, op.Check) and not constraint.no_inherit
