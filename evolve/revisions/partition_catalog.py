"""What is there of a partitioned table when an operation of a revision runs: asked of the server, or of the history."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import Connection, text

from evolve.revisions.catalog_answers import CatalogAnswers
from evolve.revisions.recording_dbapi import Recorder
from evolve.revisions.reflection import Reflection
from evolve.sql.names import QualifiedName
from evolve.values import dataclass

_RELATION = """
SELECT c.relkind::text, pn.nspname::text, p.relname::text, coalesce(i.inhdetachpending, false),
       pg_catalog.pg_get_expr(c.relpartbound, 0), pg_catalog.obj_description(c.oid, 'pg_class')
  FROM pg_catalog.pg_class AS c
  LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid AND c.relispartition
  LEFT JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
  LEFT JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
 WHERE c.oid = pg_catalog.to_regclass(:name)
"""
_KEY = """
SELECT CASE p.partstrat WHEN 'r' THEN 'range' WHEN 'l' THEN 'list' ELSE 'hash' END, coalesce(a.attname::text, ''),
       coalesce(pg_catalog.format_type(a.atttypid, a.atttypmod), '')
  FROM pg_catalog.pg_partitioned_table AS p,
       pg_catalog.unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (num, place)
  LEFT JOIN pg_catalog.pg_attribute AS a ON a.attnum = k.num AND a.attrelid = pg_catalog.to_regclass(:name)
 WHERE p.partrelid = pg_catalog.to_regclass(:name) ORDER BY k.place
"""
_MEMBERS = """
SELECT n.nspname::text, c.relname::text, c.relkind = 'p'
  FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE i.inhparent = pg_catalog.to_regclass(:name) AND NOT i.inhdetachpending AND c.relkind IN ('r', 'p')
 ORDER BY n.nspname, c.relname
"""
_INDEX = """
SELECT x.indisvalid, i.inhparent IS NOT NULL
  FROM pg_catalog.pg_index AS x LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = x.indexrelid
 WHERE x.indexrelid = pg_catalog.to_regclass(:name)
"""
_CONSTRAINT = """
SELECT k.convalidated FROM pg_catalog.pg_constraint AS k
 WHERE k.conrelid = pg_catalog.to_regclass(:name) AND k.conname = :constraint
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table that is there.

    Args:
        parent: what it is a partition of.
        pending: an interrupted DETACH CONCURRENTLY has left it half detached.
        bound: as the server writes it.
        comment: on it.
        partitioned: it is cut itself.
    """

    parent: QualifiedName | None
    pending: bool
    bound: str | None
    comment: str | None
    partitioned: bool


@dataclass(frozen=True, slots=True)
class Key:
    """What a table is partitioned by. An expression stands as "" with a type of ""."""

    method: str
    columns: tuple[str, ...]
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    name: QualifiedName
    cut: bool  # it has partitions of its own


class Catalog:
    """The server's, in the transaction of the revision. Each question sees what the statements before it did."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def relation(self, name: QualifiedName) -> Relation | None:
        found = self._rows(_RELATION, name=name.full)
        if not found:
            return None
        kind, schema, parent, pending, bound, comment = found[0]
        above = QualifiedName(str(parent), str(schema)) if parent is not None else None
        return Relation(above, bool(pending), _text(bound), _text(comment), kind == "p")

    def key(self, table: QualifiedName) -> Key | None:
        found = self._rows(_KEY, name=table.full)
        if not found:
            return None
        return Key(str(found[0][0]), tuple(str(row[1]) for row in found), tuple(str(row[2]) for row in found))

    def members(self, table: QualifiedName) -> tuple[Member, ...]:
        rows = self._rows(_MEMBERS, name=table.full)
        return tuple(Member(QualifiedName(str(name), str(schema)), bool(cut)) for schema, name, cut in rows)

    def index(self, name: QualifiedName) -> tuple[bool, bool] | None:
        """Whether it is valid, and whether it belongs to one of a partitioned table; None where there is none."""
        found = self._rows(_INDEX, name=name.full)
        return (bool(found[0][0]), bool(found[0][1])) if found else None

    def validated(self, table: QualifiedName, constraint: str) -> bool | None:
        """None where there is no such constraint."""
        found = self._rows(_CONSTRAINT, name=table.full, constraint=constraint)
        return bool(found[0][0]) if found else None

    def is_empty(self, table: QualifiedName) -> bool:
        return not self._rows(f"SELECT 1 FROM {table.full} LIMIT 1")  # noqa: S608 - a quoted name

    def equal(self, one: str, other: str, type_: str) -> bool:
        """Whether two literals mean the same value of a type."""
        rows = self._rows(f"SELECT CAST({one} AS {type_}) = CAST({other} AS {type_})")
        return rows[0][0] is True

    def _rows(self, sql: str, **values: str) -> list[tuple[object, ...]]:
        from evolve.revisions.gate_operation import escape_colons

        statement = text(sql if values else escape_colons(sql))
        return [tuple(row) for row in self._connection.execute(statement, values)]


def catalog(operations: Operations) -> Catalog | None:
    """None where nobody can be asked: with `--sql`, and while a revision is only read."""
    if operations.migration_context.as_sql:
        return None
    connection = operations.get_bind()
    return None if _is_reading(connection) else Catalog(connection)


def is_open(operations: Operations) -> bool:
    """Whether a transaction is open that would keep each lock to its end."""
    if operations.migration_context.as_sql:
        return False
    connection = operations.get_bind()
    if _is_reading(connection) or connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return False
    return getattr(connection.connection.dbapi_connection, "autocommit", False) is not True


def known_members(operations: Operations, table: QualifiedName) -> tuple[Member, ...] | None:
    """Its partitions; of a revision that is only read those that the history made. None with `--sql`."""
    there = catalog(operations)
    if there is not None:
        return there.members(table)
    history = _history(operations)
    return None if history is None else tuple(Member(*each) for each in history.partitions(table))


def known_key(operations: Operations, table: QualifiedName) -> Key | None:
    """What it is partitioned by; None where nobody can tell."""
    there = catalog(operations)
    if there is not None:
        return there.key(table)
    history = _history(operations)
    found = history.partition_key(table) if history is not None else None
    return None if found is None else Key(*found, ("",) * len(found[1]))


def send(operations: Operations, sql: str) -> None:
    """One statement; to whoever reads the revision, as one that can be sent again after an interruption."""
    # Whoever imports that module first imports Alembic through it, which comes here while it is half done.
    from evolve.revisions.gate_operation import escape_colons

    recorder = _recorder(operations)
    if recorder is not None:
        recorder.looks_first = True
    try:
        operations.execute(escape_colons(sql))
    finally:
        if recorder is not None:
            recorder.looks_first = False


def _history(operations: Operations) -> Reflection | None:
    if operations.migration_context.as_sql:
        return None
    dialect: object = operations.get_bind().dialect
    return dialect.reflection if isinstance(dialect, CatalogAnswers) else None


def _recorder(operations: Operations) -> Recorder | None:
    if operations.migration_context.as_sql:
        return None
    dialect: object = operations.get_bind().dialect
    return dialect.recorder if isinstance(dialect, CatalogAnswers) else None


def _is_reading(connection: Connection) -> bool:
    dialect: object = connection.dialect
    return isinstance(dialect, CatalogAnswers)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
