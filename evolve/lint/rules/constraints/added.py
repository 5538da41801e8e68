"""The constraints that a statement adds, wherever it writes them: ADD CONSTRAINT, a new column, CREATE TABLE."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

LOOKS_AT = (op.AddConstraint, op.AddColumn, op.CreateTable)


def added(operation: op.Operation, history: History) -> Iterator[tuple[QualifiedName, op.Constraint]]:
    """Each with its table; none where IF NOT EXISTS meets what is there, and none of temporary tables."""
    schema = history.schema
    match operation:
        case op.AddColumn(table, column, if_not_exists=True) if schema.column(table, column.name) is not None:
            return
        case op.CreateTable(table, if_not_exists=True) if table in schema.tables:
            return
        case _:
            yield from _written(operation)


def foreign_keys_left(history: History) -> Iterator[tuple[Step, QualifiedName, op.ForeignKey]]:
    """Foreign keys that `history.steps` add and that are there after the last of them, as the schema knows them."""
    for step in history.steps:
        for table, constraint in _written(step.operation):
            found = history.schema.table(table)
            if not isinstance(constraint, op.ForeignKey) or found is None:
                continue
            for key in found.foreign_keys:
                if key.columns == constraint.columns and constraint.name in (None, key.name):
                    yield step, table, key
                    break


def _written(operation: op.Operation) -> Iterator[tuple[QualifiedName, op.Constraint]]:
    match operation:
        case op.AddConstraint(table, constraint):
            yield table, constraint
        case op.AddColumn(table, column):
            yield from ((table, constraint) for constraint in column.constraints)
        case op.CreateTable(table, columns, constraints, temporary=False):
            for column in columns:
                yield from ((table, constraint) for constraint in column.constraints)
            yield from ((table, constraint) for constraint in constraints)
        case _:
            return
