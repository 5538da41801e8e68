"""The application's mapped classes as data: tables, columns, and what is known of neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from evolve.sql.names import QualifiedName
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class MappedType:
    """A column's type as SQLAlchemy sends it.

    Args:
        name: the class, such as "String".
        sql: without modifiers, as format_type() writes it; None where only SQLAlchemy or the application knows.
        values: what an enum may hold, as it is stored; None where it is no enum or its values are not static.
        enum: the enum's type in the database; None where it is none.
    """

    name: str
    sql: str | None = None
    values: tuple[str, ...] | None = None
    enum: QualifiedName | None = None


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """
    Args:
        name: in the database.
        attribute: in the class.
        default: SQLAlchemy makes a value where the application gives none.
        server_default: the model leaves the column out of an INSERT where the application gives no value.
        autoincrement: the model takes the key from the database where the application gives none.
        deferred: a SELECT of the class leaves it out.
        static: False where only its name could be read.
    """

    name: str
    attribute: str
    type: MappedType | None = None
    nullable: bool = True
    primary_key: bool = False
    default: bool = False
    server_default: bool = False
    autoincrement: bool = False
    deferred: bool = False
    static: bool = True

    @property
    def left_out(self) -> bool:
        """An INSERT does not name it where the application gives no value."""
        return self.server_default or self.autoincrement

    @property
    def explicit_null(self) -> bool:
        """An INSERT writes NULL where the application gives no value, which the model says it need not give."""
        return self.static and self.nullable and not (self.primary_key or self.default or self.left_out)


@dataclass(frozen=True, slots=True)
class Relationship:
    """
    Args:
        target: name of the class at its other end.
        passive_deletes: the database is trusted to look after the children of a deleted parent.
        deletes: `cascade` deletes the children one by one.
    """

    attribute: str
    target: str
    passive_deletes: Literal[False, True, "all"] = False
    deletes: bool = False
    viewonly: bool = False


@dataclass(frozen=True, slots=True)
class MappedTable:
    """One class, or one Core `Table`, and the table it stands for.

    Args:
        class_: its name; the name of the variable for a Core table.
        partly: why some of its columns could not be read; empty where all are known.
        core: a `Table` without a class: nothing says which statements are sent.
    """

    name: QualifiedName
    class_: str
    file: Path
    line: int
    columns: tuple[MappedColumn, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    partly: tuple[str, ...] = ()
    core: bool = False

    def column(self, name: str) -> MappedColumn | None:
        return next((column for column in self.columns if column.name == name), None)


NO_PYTHON = "it is no Python that can be read"


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be read, so that a table or a column may be missing."""

    file: Path
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Models:
    """All that an application maps, at one moment of its history.

    Args:
        tables: several classes may map one table.
        where: for a person: "the working tree", "9f3c2ab".
        gaps: empty where nothing can be missing.
    """

    tables: Mapping[QualifiedName, tuple[MappedTable, ...]]
    where: str
    gaps: tuple[Gap, ...] = ()

    def of(self, table: QualifiedName) -> tuple[MappedTable, ...]:
        return self.tables.get(table, ())

    def all(self) -> Iterator[MappedTable]:
        return (mapped for several in self.tables.values() for mapped in several)

    def maps_table(self, table: QualifiedName) -> bool | None:
        """None where that is not known."""
        if table in self.tables:
            return True
        return None if self.gaps else False

    def maps_column(self, table: QualifiedName, column: str) -> bool | None:
        """None where that is not known."""
        several = self.of(table)
        if any(mapped.column(column) is not None for mapped in several):
            return True
        if not several:
            return self.maps_table(table)
        return None if any(mapped.partly for mapped in several) else False

    def columns(self, table: QualifiedName, column: str) -> Iterator[tuple[MappedTable, MappedColumn]]:
        """Every mapping of the column."""
        for mapped in self.of(table):
            found = mapped.column(column)
            if found is not None:
                yield mapped, found
