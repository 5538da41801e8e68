"""Answers a revision's questions about the schema from the statements that the revisions before it sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evolve.revisions.reflection import (
    ReflectedCheck,
    ReflectedColumn,
    ReflectedEnum,
    ReflectedForeignKey,
    ReflectedIndex,
    ReflectedKey,
)
from evolve.sql.names import QualifiedName
from evolve.sql.operations import Check, PrimaryKey, Unique
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema, Table
from evolve.sql.steps import CapturedStatement


class ReplayedSchema:
    """A `Reflection` over a schema that starts empty, or as given, and follows each statement.

    A table that the history only implies counts as there, with the columns that are known of it. Nothing is replayed
    before somebody asks: few revisions do.
    """

    def __init__(self, schema: Schema | None = None) -> None:
        self._schema = schema if schema is not None else Schema()
        self._waiting: list[str] = []

    @property
    def schema(self) -> Schema:
        """As it is after all that was sent."""
        waiting, self._waiting = self._waiting, []
        for sql in waiting:
            for operation in parse(sql):
                apply(self._schema, operation)
        return self._schema

    def sent(self, statement: CapturedStatement) -> None:
        self._waiting.append(statement.sql)

    def keep(self) -> Callable[[], None]:
        kept, waiting = self._schema.copy(), self._waiting
        count = len(waiting)

        def bring_back() -> None:
            self._schema, self._waiting = kept.copy(), waiting[:count]

        return bring_back

    def schemas(self) -> Sequence[str]:
        return sorted(self.schema.schemas)

    def tables(self, schema: str | None) -> Sequence[str]:
        return [name.name for name in self.schema.tables if name.schema == (schema or "public")]

    def views(self, schema: str | None) -> Sequence[str]:
        return [name.name for name in self.schema.views if name.schema == (schema or "public")]

    def sequences(self, schema: str | None) -> Sequence[str]:
        return [name.name for name in self.schema.sequences if name.schema == (schema or "public")]

    def enums(self, schema: str | None) -> Sequence[ReflectedEnum]:
        return [
            ReflectedEnum(name.name, enum.values)
            for name, enum in self.schema.enums.items()
            if name.schema == (schema or "public")
        ]

    def columns(self, schema: str | None, table: str) -> Sequence[ReflectedColumn] | None:
        found = self._table(schema, table)
        if found is None:
            return None
        return [
            ReflectedColumn(
                column.name,
                column.type,
                nullable=not self.schema.proves_not_null(found.name, column.name),
                default=column.default.sql if column.default else None,
                identity=column.identity,
                generated=column.generation.sql if column.generation else None,
            )
            for column in found.columns
        ]

    def primary_key(self, schema: str | None, table: str) -> ReflectedKey | None:
        found = self._table(schema, table)
        keys = [key for key in found.constraints if isinstance(key, PrimaryKey)] if found else []
        return ReflectedKey(keys[0].name, keys[0].columns) if keys else None

    def unique_constraints(self, schema: str | None, table: str) -> Sequence[ReflectedKey] | None:
        found = self._table(schema, table)
        if found is None:
            return None
        return [ReflectedKey(key.name, key.columns) for key in found.constraints if isinstance(key, Unique)]

    def indexes(self, schema: str | None, table: str) -> Sequence[ReflectedIndex] | None:
        found = self._table(schema, table)
        if found is None:
            return None
        unique = {key.name for key in found.constraints if isinstance(key, Unique)}
        keys = {key.name for key in found.constraints if isinstance(key, PrimaryKey)}
        return [
            ReflectedIndex(
                index.definition.name or "",
                index.definition.columns,
                index.definition.unique,
                index.constraint if index.constraint in unique else None,
            )
            for index in self.schema.indexes_of(found.name)
            if index.constraint is None or index.constraint not in keys
        ]

    def foreign_keys(self, schema: str | None, table: str) -> Sequence[ReflectedForeignKey] | None:
        found = self._table(schema, table)
        if found is None:
            return None
        return [
            ReflectedForeignKey(
                key.name,
                key.columns,
                key.target.schema if key.target.schema != "public" else None,
                key.target.name,
                key.target_columns or self._primary_columns(key.target),
            )
            for key in found.foreign_keys
        ]

    def checks(self, schema: str | None, table: str) -> Sequence[ReflectedCheck] | None:
        found = self._table(schema, table)
        if found is None:
            return None
        return [
            ReflectedCheck(check.name, check.expression.sql)
            for check in found.constraints
            if isinstance(check, Check)
        ]

    def _table(self, schema: str | None, table: str) -> Table | None:
        return self.schema.table(QualifiedName(table, schema or "public"))

    def _primary_columns(self, target: QualifiedName) -> tuple[str, ...]:
        found = self.schema.table(target)
        key = found.primary_key if found else None
        return key.columns if key else ()
