"""Columns: adding and altering them, on partitions and children as well."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from evolve.sql import default_names
from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    AddColumn,
    AlterColumnType,
    ColumnDefinition,
    Expression,
)
from evolve.sql.parse import expression
from evolve.sql.replay import constraints, indexes
from evolve.sql.replay.edit import change_column, change_family_column, know, put
from evolve.sql.schema import Column, Schema, Sequence


def make(schema: Schema, table: QualifiedName, definition: ColumnDefinition) -> Column:
    """The column of a definition; a serial or identity one brings its sequence into being."""
    default = definition.default
    not_null = definition.not_null
    if definition.serial:
        sequence = own_sequence(schema, table, definition.name, definition.type)
        default = expression(f"nextval('{sequence}'::regclass)")
        not_null = True
    if definition.identity is not None:
        own_sequence(schema, table, definition.name, definition.type)
        not_null = True
    return Column(
        name=definition.name,
        type=definition.type,
        not_null=not_null,
        default=default,
        generated=definition.generated,
        identity=definition.identity,
        collation=definition.collation,
        generation=definition.generation,
    )


def own_sequence(schema: Schema, table: QualifiedName, column: str, type_: str) -> QualifiedName:
    name = default_names.sequence_name(schema, table, column)
    schema.sequences[name] = Sequence(name, type_, (table, column))
    return name


def add(schema: Schema, operation: AddColumn) -> None:
    table = know(schema, operation.table)
    found = schema.tables.get(table)
    if found is None:
        return
    definition = operation.column
    if (existing := found.column(definition.name)) is not None and (existing.type or not found.implied):
        return
    column = make(schema, table, definition)
    for member in list(schema.family(table)):
        if member.column(column.name) is not None and not member.implied:
            continue
        others = tuple(c for c in schema.tables[member.name].columns if c.name != column.name)
        own = replace(column, local=member.name == table)
        put(schema, replace(schema.tables[member.name], columns=(*others, own)))
    constraints.add_all(schema, table, definition.constraints)


def alter_type(schema: Schema, operation: AlterColumnType) -> None:
    table = know(schema, operation.table)

    def change(column: Column) -> Column:
        default = column.default
        if default is not None and (schema.is_enum(column.type) or schema.domain(column.type)):
            # The default stays a value of the old type and is cast from there: it goes when that type goes.
            default = expression(f"({default.sql})::{column.type}")
        return replace(column, type=operation.type, collation=operation.collation, default=default)

    known = schema.column(table, operation.column)
    change_family_column(schema, table, operation.column, change)
    for member in list(schema.family(table)):
        indexes.remake(schema, member.name, operation.column)
    constraints.hand_down(schema, table, operation.column)
    if known is not None and known.identity is not None:
        for sequence in list(schema.sequences_of(table, operation.column)):
            schema.sequences[sequence.name] = replace(sequence, type=operation.type)


def set_not_null(schema: Schema, table: QualifiedName, column: str, *, only: bool = False) -> None:
    change = change_column if only else change_family_column
    change(schema, table, column, lambda c: replace(c, not_null=True))


def drop_not_null(schema: Schema, table: QualifiedName, column: str, *, only: bool = False) -> None:
    found = schema.tables.get(table)
    if found is None or (found.primary_key is not None and column in found.primary_key.columns):
        return
    change = change_column if only else change_family_column
    change(schema, table, column, lambda c: replace(c, not_null=False))


def set_default(
    schema: Schema, table: QualifiedName, column: str, default: Expression | None, *, only: bool = False
) -> None:
    change = change_column if only else change_family_column
    change(schema, table, column, lambda c: replace(c, default=default))


def add_identity(
    schema: Schema, table: QualifiedName, column: str, identity: Literal["always", "by default"]
) -> None:
    known = schema.column(table, column)
    if known is not None and (known.identity is not None or known.default is not None):
        return
    own_sequence(schema, table, column, known.type if known and known.type else "bigint")
    change_column(schema, table, column, lambda c: replace(c, identity=identity))


def set_identity(
    schema: Schema, table: QualifiedName, column: str, identity: Literal["always", "by default"]
) -> None:
    change_column(schema, table, column, lambda c: replace(c, identity=identity))


def drop_identity(schema: Schema, table: QualifiedName, column: str) -> None:
    known = schema.column(table, column)
    if known is None or known.identity is None:
        return
    for sequence in list(schema.sequences_of(table, column)):
        del schema.sequences[sequence.name]
    change_column(schema, table, column, lambda c: replace(c, identity=None))


def set_expression(schema: Schema, table: QualifiedName, column: str, generation: Expression) -> None:
    change_family_column(schema, table, column, lambda c: replace(c, generation=generation))


def drop_expression(schema: Schema, table: QualifiedName, column: str) -> None:
    change_family_column(schema, table, column, lambda c: replace(c, generated=None, generation=None))
