"""Which statements of a mapped class fail on a schema, and why; each cause was seen on a server with SQLAlchemy 2."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from evolve.compat.models import MappedColumn, MappedTable
from evolve.compat.types import CAST, assignable
from evolve.sql.names import QualifiedName
from evolve.sql.operations import Check
from evolve.sql.schema import Column, Schema, Table
from evolve.sql.types import base
from evolve.values import dataclass


class Cause(Enum):
    TABLE_MISSING = "the table is not there"
    COLUMN_MISSING = "the column is not there"
    REQUIRED = "a column that the class does not map must have a value"
    EXPLICIT_NULL = "the class writes NULL where the application gives no value"
    DEFAULT_MISSING = "the class leaves the value to a default that is not there"
    GENERATED = "the class writes a column that the database computes"
    IDENTITY_ALWAYS = "the class writes a column whose values only the database makes"
    ENUM_UNREADABLE = "the database may hold a value that the class does not know"
    ENUM_UNWRITABLE = "the class may write a value that the database does not know"
    BIND_CAST = "the class sends values as a type that the column does not take"


SELECT, INSERT, UPDATE = "SELECT", "INSERT", "UPDATE"


@dataclass(frozen=True, slots=True)
class Failure:
    """
    Args:
        class_: name of the mapped class.
        column: in the database; None where the whole table is meant.
        statements: "SELECT", "INSERT", "UPDATE": those that fail. An UPDATE names changed columns alone, so one that
            fails only where it names the column is not among them.
        detail: what the cause is about: an enum's value, or a type.
    """

    class_: str
    table: QualifiedName
    cause: Cause
    statements: frozenset[str]
    column: str | None = None
    detail: str = ""


def failures(mapped: MappedTable, schema: Schema) -> Iterator[Failure]:
    """What fails of the class on `schema`. Of what is not known, in the class or in the schema, nothing is said."""
    table = schema.tables.get(mapped.name)
    if table is None:
        # A view under the old name serves all three, as long as PostgreSQL can write through it.
        if mapped.name not in schema.views:
            yield Failure(
                mapped.class_, mapped.name, Cause.TABLE_MISSING, frozenset({SELECT, INSERT, UPDATE})
            )
        return
    for column in mapped.columns:
        found = table.column(column.name)
        if found is not None:
            yield from _column(mapped, column, table, found, schema)
        elif not table.implied:
            # An INSERT that leaves it out asks for its value with RETURNING.
            statements = {INSERT} if column.deferred else {SELECT, INSERT}
            yield _failure(mapped, column.name, Cause.COLUMN_MISSING, *statements)
    if not mapped.core and not mapped.partly:
        known = {column.name for column in mapped.columns}
        for found in table.columns:
            if found.name not in known and _required(found):
                yield _failure(mapped, found.name, Cause.REQUIRED, INSERT)


def _column(
    mapped: MappedTable, column: MappedColumn, table: Table, found: Column, schema: Schema
) -> Iterator[Failure]:
    if not mapped.core and column.static:
        yield from _values(mapped, column, table, found)
    yield from _enum(mapped, column, found, schema)
    cast = CAST.get(column.type.sql) if column.type is not None and column.type.sql else None
    if cast is not None and found.type and not found.generated:
        stored = False if schema.is_enum(found.type) else assignable(cast, base(found.type))
        if found.type.endswith("[]") or stored is False:
            statements = (UPDATE,) if column.left_out else (INSERT, UPDATE)
            yield _failure(mapped, column.name, Cause.BIND_CAST, *statements, detail=cast)


def _values(mapped: MappedTable, column: MappedColumn, table: Table, found: Column) -> Iterator[Failure]:
    """Whether an INSERT without a value of the application's is taken."""
    makes = bool(found.default or found.identity or found.generated)
    if found.generated:
        if not column.left_out:
            yield _failure(mapped, column.name, Cause.GENERATED, INSERT)
    elif found.identity == "always" and not column.left_out:
        yield _failure(mapped, column.name, Cause.IDENTITY_ALWAYS, INSERT)
    elif column.explicit_null and _refuses_null(table, found):
        yield _failure(mapped, column.name, Cause.EXPLICIT_NULL, INSERT)
    elif column.left_out and not column.default and not makes and _refuses_null(table, found):
        yield _failure(mapped, column.name, Cause.DEFAULT_MISSING, INSERT)


def _enum(mapped: MappedTable, column: MappedColumn, found: Column, schema: Schema) -> Iterator[Failure]:
    values = column.type.values if column.type is not None else None
    stored = next((enum.values for name, enum in schema.enums.items() if str(name) == found.type), None)
    if values is None or stored is None:
        return
    for value in stored:
        if value not in values:
            yield _failure(mapped, column.name, Cause.ENUM_UNREADABLE, SELECT, detail=value)
    for value in values:
        if value not in stored:
            yield _failure(mapped, column.name, Cause.ENUM_UNWRITABLE, INSERT, UPDATE, detail=value)


def _refuses_null(table: Table, column: Column) -> bool:
    """NOT NULL, a key, or a CHECK that says so, which new rows must meet even where it is NOT VALID."""
    key = table.primary_key
    return (
        column.not_null
        or (key is not None and column.name in key.columns)
        or any(
            isinstance(constraint, Check) and column.name in constraint.expression.not_null_columns
            for constraint in table.constraints
        )
    )


def _required(column: Column) -> bool:
    return column.not_null and not (column.default or column.identity or column.generated)


def _failure(mapped: MappedTable, column: str, cause: Cause, *statements: str, detail: str = "") -> Failure:
    return Failure(mapped.class_, mapped.name, cause, frozenset(statements), column, detail)
