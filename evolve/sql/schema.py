"""What a database looks like: the one model that replayed revisions and a live catalog are both read into.

Values are frozen and shared; a `Schema` is a set of dictionaries over them, so that `copy()` is cheap and two schemas
compare with `==`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    Check,
    Constraint,
    Expression,
    ForeignKey,
    IndexDefinition,
    NotNull,
    Operation,
    PartitionBy,
    PrimaryKey,
)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str  # as format_type() writes it
    not_null: bool = False
    default: Expression | None = None
    generated: Literal["stored", "virtual"] | None = None
    identity: Literal["always", "by default"] | None = None
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """
    Args:
        columns: in attribute order.
        constraints: each with its name, as given or as PostgreSQL would choose it; `not_valid` is False once validated.
        implied: the history never created it; it is known only from statements that use it, so columns may be missing.
    """

    name: QualifiedName
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    partition_by: PartitionBy | None = None
    partition_of: QualifiedName | None = None
    bound: str | None = None
    triggers: tuple[str, ...] = ()
    implied: bool = False

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def constraint(self, name: str) -> Constraint | None:
        return next((constraint for constraint in self.constraints if constraint.name == name), None)

    @property
    def primary_key(self) -> PrimaryKey | None:
        return next((c for c in self.constraints if isinstance(c, PrimaryKey)), None)

    @property
    def foreign_keys(self) -> tuple[ForeignKey, ...]:
        return tuple(c for c in self.constraints if isinstance(c, ForeignKey))


@dataclass(frozen=True, slots=True)
class Index:
    """`definition.name` is always set. `constraint`: name of the PRIMARY KEY, UNIQUE or EXCLUDE constraint it backs."""

    definition: IndexDefinition
    valid: bool = True
    constraint: str | None = None


@dataclass(frozen=True, slots=True)
class Enum:
    name: QualifiedName
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    name: QualifiedName
    base: str
    not_null: bool = False
    checks: tuple[Check, ...] = ()

    @property
    def constrained(self) -> bool:
        """A column of a constrained domain makes ADD COLUMN rewrite the table."""
        return self.not_null or bool(self.checks)


@dataclass(frozen=True, slots=True)
class View:
    name: QualifiedName
    materialized: bool = False
    reads: tuple[QualifiedName, ...] = ()


@dataclass(frozen=True, slots=True)
class Sequence:
    name: QualifiedName
    type: str = "bigint"
    owned_by: tuple[QualifiedName, str] | None = None


@dataclass(slots=True)
class Schema:
    schemas: set[str] = field(default_factory=lambda: {"public"})
    tables: dict[QualifiedName, Table] = field(default_factory=dict)
    indexes: dict[QualifiedName, Index] = field(default_factory=dict)
    enums: dict[QualifiedName, Enum] = field(default_factory=dict)
    domains: dict[QualifiedName, Domain] = field(default_factory=dict)
    views: dict[QualifiedName, View] = field(default_factory=dict)
    sequences: dict[QualifiedName, Sequence] = field(default_factory=dict)

    # -- questions ----------------------------------------------------------------------------------------------------
    def table(self, name: QualifiedName) -> Table | None:
        return self.tables.get(name)

    def column(self, table: QualifiedName, column: str) -> Column | None:
        found = self.tables.get(table)
        return found.column(column) if found else None

    def indexes_of(self, table: QualifiedName) -> Iterator[Index]:
        return (index for index in self.indexes.values() if index.definition.table == table)

    def partitions_of(self, table: QualifiedName) -> Iterator[Table]:
        return (child for child in self.tables.values() if child.partition_of == table)

    def foreign_keys_to(self, table: QualifiedName) -> Iterator[tuple[Table, ForeignKey]]:
        return ((t, key) for t in self.tables.values() for key in t.foreign_keys if key.target == table)

    def views_reading(self, relation: QualifiedName) -> Iterator[View]:
        return (view for view in self.views.values() if relation in view.reads)

    def proves_not_null(self, table: QualifiedName, column: str) -> bool:
        """True where PostgreSQL itself knows that no row has a null there, so that SET NOT NULL does not scan:
        NOT NULL already, a primary key, or a validated CHECK that implies it (PostgreSQL 12 and later).
        """
        found = self.tables.get(table)
        if found is None:
            return False
        known = found.column(column)
        if known is not None and known.not_null:
            return True
        return any(_proves(constraint, column) for constraint in found.constraints)

    def copy(self) -> Schema:
        return Schema(
            set(self.schemas),
            dict(self.tables),
            dict(self.indexes),
            dict(self.enums),
            dict(self.domains),
            dict(self.views),
            dict(self.sequences),
        )


def _proves(constraint: Constraint, column: str) -> bool:
    match constraint:
        case PrimaryKey(columns=columns):
            return column in columns
        case NotNull(column=name, not_valid=False):
            return name == column
        case Check(expression=expression, not_valid=False):
            return f"{column} IS NOT NULL" in expression.sql.replace('"', "")
        case _:
            return False


def apply(schema: Schema, operation: Operation) -> None:
    """Change `schema` as `operation` would; what names an unknown table makes that table implied."""
    raise AssertionError(schema, operation)
