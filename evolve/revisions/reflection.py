"""Questions about the schema that a revision may ask while it is read, and who answers them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from evolve.sql.names import QualifiedName
from evolve.sql.steps import CapturedStatement


@dataclass(frozen=True, slots=True)
class ReflectedColumn:
    """`type` as format_type() writes it; `default` as SQL."""

    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    identity: str | None = None  # "always" or "by default"
    generated: str | None = None  # the expression of a stored generated column


@dataclass(frozen=True, slots=True)
class ReflectedKey:
    """A primary key or a unique constraint."""

    name: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReflectedIndex:
    """`columns` holds None where a key is an expression. `constraint`: the unique constraint it backs."""

    name: str
    columns: tuple[str | None, ...]
    unique: bool = False
    constraint: str | None = None


@dataclass(frozen=True, slots=True)
class ReflectedForeignKey:
    name: str | None
    columns: tuple[str, ...]
    target_schema: str | None
    target: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReflectedCheck:
    name: str | None
    sql: str


@dataclass(frozen=True, slots=True)
class ReflectedEnum:
    name: str
    values: tuple[str, ...]


class Reflection(Protocol):
    """A schema that keeps up with the statements of the revisions being read.

    `schema` is None for the one that comes first on the search path. The questions about one table answer None where
    there is no such table.
    """

    def sent(self, statement: CapturedStatement) -> None:
        """Told each statement as soon as it is written down, so that later questions see what it does."""
        ...

    def turn_to(self, database: str | None) -> None:
        """Answer for one of several databases from here on; None where there is one."""
        ...

    def keep(self) -> Callable[[], None]:
        """Keep the schema as it is now, for the function that is returned to bring it back."""
        ...

    def schemas(self) -> Sequence[str]: ...

    def tables(self, schema: str | None) -> Sequence[str]: ...

    def views(self, schema: str | None) -> Sequence[str]: ...

    def sequences(self, schema: str | None) -> Sequence[str]: ...

    def enums(self, schema: str | None) -> Sequence[ReflectedEnum]: ...

    def columns(self, schema: str | None, table: str) -> Sequence[ReflectedColumn] | None: ...

    def primary_key(self, schema: str | None, table: str) -> ReflectedKey | None: ...

    def unique_constraints(self, schema: str | None, table: str) -> Sequence[ReflectedKey] | None: ...

    def indexes(self, schema: str | None, table: str) -> Sequence[ReflectedIndex] | None: ...

    def foreign_keys(self, schema: str | None, table: str) -> Sequence[ReflectedForeignKey] | None: ...

    def checks(self, schema: str | None, table: str) -> Sequence[ReflectedCheck] | None: ...

    def partition_key(self, table: QualifiedName) -> tuple[str, tuple[str, ...]] | None:
        """The method, and the key's columns; an expression stands as its SQL. None where it is not partitioned."""
        ...

    def partitions(self, table: QualifiedName) -> Sequence[tuple[QualifiedName, bool]]:
        """Each with whether it is partitioned itself."""
        ...
