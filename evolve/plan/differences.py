"""Where the models and a database differ, as values: what autogenerate found, told without its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """A column as the models have it.

    Args:
        type: as SQL writes it.
        default: SQL of its server default.
        computed: SQL of the expression it is generated from.
        hints: what `info={"evolve": {…}}` of the column says, as text.
    """

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    computed: str | None = None
    identity: bool = False
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnAdded:
    table: QualifiedName
    column: ModelColumn


@dataclass(frozen=True, slots=True)
class ColumnDropped:
    table: QualifiedName
    name: str
    type: str | None


@dataclass(frozen=True, slots=True)
class ColumnAltered:
    """One column, in one or more ways; None: unchanged in that way.

    Args:
        type: its new type.
        default: its new default; "" where it has none any more.
    """

    table: QualifiedName
    column: ModelColumn
    not_null: bool | None = None
    type: str | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class TableAdded:
    table: QualifiedName
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableDropped:
    table: QualifiedName


@dataclass(frozen=True, slots=True)
class IndexAdded:
    """An index; `keys` are columns and expressions as SQL."""

    table: QualifiedName
    name: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    unique: bool = False
    where: str | None = None
    using: str | None = None


@dataclass(frozen=True, slots=True)
class IndexDropped:
    table: QualifiedName
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UniqueAdded:
    table: QualifiedName
    name: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignKeyAdded:
    table: QualifiedName
    name: str | None
    columns: tuple[str, ...]
    references: QualifiedName
    referenced: tuple[str, ...]
    on_delete: str | None = None
    on_update: str | None = None


@dataclass(frozen=True, slots=True)
class ConstraintDropped:
    table: QualifiedName
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """What no recipe is for: a comment, say. `text` tells it."""

    table: QualifiedName | None
    text: str
    columns: tuple[str, ...] = ()


Difference = (
    ColumnAdded
    | ColumnDropped
    | ColumnAltered
    | TableAdded
    | TableDropped
    | IndexAdded
    | IndexDropped
    | UniqueAdded
    | ForeignKeyAdded
    | ConstraintDropped
    | Other
)


def told(difference: Difference) -> str:
    """One sentence: what the models have that the database has not, or the other way round."""
    match difference:
        case ColumnAdded(table, column):
            return f"column {table.plain}.{column.name} {column.type} is in the models only"
        case ColumnDropped(table, name, type_):
            return f"column {table.plain}.{name}{f' {type_}' if type_ else ''} is in the database only"
        case ColumnAltered(table, column, not_null, type_, default):
            ways = [f"type {type_}"] if type_ is not None else []
            ways += [] if not_null is None else ["NOT NULL" if not_null else "nullable"]
            ways += [] if default is None else [f"default {default}" if default else "no default"]
            return f"column {table.plain}.{column.name} has {', '.join(ways)} in the models"
        case TableAdded(table):
            return f"table {table.plain} is in the models only"
        case TableDropped(table):
            return f"table {table.plain} is in the database only"
        case IndexAdded(table, name):
            return f"index {name} on {table.plain} is in the models only"
        case UniqueAdded(table, name, columns) | ForeignKeyAdded(table, name, columns):
            kind = "unique constraint" if isinstance(difference, UniqueAdded) else "foreign key"
            what = (
                f"{kind} {name} on {table.plain}"
                if name
                else f"{kind} on {table.plain} ({', '.join(columns)})"
            )
            return f"{what} is in the models only"
        case IndexDropped(table, name):
            return f"index {name} on {table.plain} is in the database only"
        case ConstraintDropped(table, name):
            return f"constraint {name} on {table.plain} is in the database only"
        case Other(_, text):
            return text
        case _:
            assert_never(difference)
