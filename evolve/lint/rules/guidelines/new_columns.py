"""Which columns an operation makes, or gives another type."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.sql import operations as op
from evolve.sql.names import QualifiedName

LOOKS_AT = (op.CreateTable, op.AddColumn, op.AlterColumnType)


def new_columns(operation: op.Operation) -> Iterator[tuple[QualifiedName, op.ColumnDefinition]]:
    """Each with its table; a changed type is a column of that type."""
    match operation:
        case op.CreateTable(table=table, columns=columns, temporary=False, partition_of=None):
            yield from ((table, column) for column in columns)
        case op.AddColumn(table=table, column=column):
            yield table, column
        case op.AlterColumnType(table=table, column=name, type=kind):
            yield table, op.ColumnDefinition(name, kind, not_null=True)
        case _:
            return
