"""Which names an operation gives."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.sql import operations as op


def new_names(operation: op.Operation) -> Iterator[str]:
    """Names of tables, columns, indexes, constraints, views and types that the operation makes."""
    match operation:
        case op.CreateTable(table=table, columns=columns, constraints=constraints, temporary=False):
            yield table.name
            yield from (column.name for column in columns)
            yield from (constraint.name for constraint in constraints if constraint.name)
        case op.AddColumn(column=column):
            yield column.name
        case (
            op.RenameTable(to=to)
            | op.RenameColumn(to=to)
            | op.RenameConstraint(to=to)
            | op.RenameIndex(to=to)
        ):
            yield to
        case op.AddConstraint(constraint=constraint):
            yield from filter(None, [constraint.name])
        case op.CreateIndex(index=index):
            yield from filter(None, [index.name])
        case op.CreateView(view=view):
            yield view.name
        case op.CreateEnum(type=name) | op.CreateDomain(domain=name):
            yield name.name
        case _:
            return


LOOKS_AT = (
    op.CreateTable,
    op.AddColumn,
    op.RenameTable,
    op.RenameColumn,
    op.RenameConstraint,
    op.RenameIndex,
    op.AddConstraint,
    op.CreateIndex,
    op.CreateView,
    op.CreateEnum,
    op.CreateDomain,
)
