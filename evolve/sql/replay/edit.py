"""Small edits of a schema that the rest of replay is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evolve.sql.names import QualifiedName
from evolve.sql.operations import Constraint
from evolve.sql.schema import Column, Schema, Table


def know(schema: Schema, name: QualifiedName) -> QualifiedName:
    """The table that `name` means; one that nobody created becomes an implied table.

    A temporary table hides one of `public`, and a name may also be that of a view or an index.
    """
    found = resolve(schema, name)
    if found not in schema.tables and found not in schema.views and found.schema not in _SYSTEM:
        schema.tables[found] = Table(found, implied=True)
    return found


_SYSTEM = frozenset({"pg_catalog", "information_schema", "pg_toast"})


def resolve(schema: Schema, name: QualifiedName) -> QualifiedName:
    hidden_by = QualifiedName(name.name, "pg_temp")
    return hidden_by if name.schema == "public" and hidden_by in schema.tables else name


def put(schema: Schema, table: Table) -> None:
    schema.tables[table.name] = table


def change_column(
    schema: Schema, table: QualifiedName, name: str, change: Callable[[Column], Column]
) -> None:
    """Change one column of `table`; an implied table gains the column if it lacks it."""
    found = schema.tables.get(table)
    if found is None:
        return
    if found.column(name) is None:
        if not found.implied:
            return
        found = replace(found, columns=(*found.columns, Column(name, "")))
    columns = tuple(change(column) if column.name == name else column for column in found.columns)
    put(schema, replace(found, columns=columns))


def change_family_column(
    schema: Schema, table: QualifiedName, name: str, change: Callable[[Column], Column]
) -> None:
    """Change one column of `table` and of its partitions and children."""
    for member in list(schema.family(table)):
        change_column(schema, member.name, name, change)


def change_constraints(
    schema: Schema, table: QualifiedName, change: Callable[[Constraint], Constraint | None]
) -> None:
    """Change each constraint of `table`; None takes it away."""
    found = schema.tables.get(table)
    if found is None:
        return
    changed = (change(constraint) for constraint in found.constraints)
    put(schema, replace(found, constraints=tuple(c for c in changed if c is not None)))


def add_constraint(schema: Schema, table: QualifiedName, constraint: Constraint) -> None:
    found = schema.tables[table]
    put(schema, replace(found, constraints=(*found.constraints, constraint)))
