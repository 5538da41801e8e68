"""Answers a revision's questions about the schema from the statements that the revisions before it sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakSet

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
from evolve.sql.schema import Schema, Table
from evolve.sql.steps import CapturedStatement


class _Kept:
    """A point to come back to: what was sent by then, and a schema on the way there.

    The schema is copied only when the replay is about to leave that way, which it seldom is.
    """

    def __init__(self, sent: list[CapturedStatement], count: int) -> None:
        self.sent = sent
        self.count = count
        self.schema: Schema | None = None
        self.replayed = 0


class ReplayedSchema:
    """A `Reflection` over a schema that starts empty, as given, or as `begin` gives it, and follows each statement.

    A table that the history only implies counts as there, with the columns that are known of it. Nothing is replayed
    before somebody asks: few revisions do.
    """

    def __init__(self, schema: Schema | None = None, begin: Callable[[], Schema] = Schema) -> None:
        self._begin = begin if schema is None else schema.copy
        self._schema = schema
        self._sent: list[CapturedStatement] = []
        self._database: str | None = None
        self._apart: dict[str, tuple[Schema, int]] = {}
        self._replayed = 0
        self._kept: WeakSet[_Kept] = WeakSet()

    @property
    def schema(self) -> Schema:
        """As it is after all that was sent to the database that is turned to."""
        if self._database is not None:
            return self._of(self._database)
        if self._schema is None:
            self._schema = self._begin()
        if self._replayed < len(self._sent):
            from evolve.sql.read import replay

            for kept in self._kept:
                if kept.schema is None:
                    kept.schema, kept.replayed = self._schema.copy(), self._replayed
            replay(self._schema, (each.sql for each in self._sent[self._replayed :]))
            self._replayed = len(self._sent)
        return self._schema

    def _of(self, database: str) -> Schema:
        from evolve.sql.read import replay

        schema, replayed = self._apart.get(database) or (self._begin(), 0)
        replay(schema, (each.sql for each in self._sent[replayed:] if each.database in (None, database)))
        self._apart[database] = schema, len(self._sent)
        return schema

    def turn_to(self, database: str | None) -> None:
        self._database = database

    def sent(self, statement: CapturedStatement) -> None:
        self._sent.append(statement)

    def keep(self) -> Callable[[], None]:
        kept = _Kept(self._sent, len(self._sent))
        self._kept.add(kept)

        def bring_back() -> None:
            self._sent = kept.sent[: kept.count]
            self._apart.clear()
            if kept.schema is not None:
                self._schema, self._replayed = kept.schema.copy(), kept.replayed

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

    def partition_key(self, table: QualifiedName) -> tuple[str, tuple[str, ...]] | None:
        found = self.schema.table(table)
        by = found.partition_by if found is not None else None
        return (by.method, by.keys) if by is not None else None

    def partitions(self, table: QualifiedName) -> Sequence[tuple[QualifiedName, bool]]:
        return [(each.name, each.partition_by is not None) for each in self.schema.partitions_of(table)]

    def _table(self, schema: str | None, table: str) -> Table | None:
        return self.schema.table(QualifiedName(table, schema or "public"))

    def _primary_columns(self, target: QualifiedName) -> tuple[str, ...]:
        found = self.schema.table(target)
        key = found.primary_key if found else None
        return key.columns if key else ()
