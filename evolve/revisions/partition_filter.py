"""What autogenerate must not touch of a partitioned table: its partitions, and what a conversion keeps beside it.

Without this the next `alembic revision --autogenerate` drops every partition, because no model stands for it.
"""

from __future__ import annotations

from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations.ops import DropConstraintOp, DropTableOp, ModifyTableOps, UpgradeOps
from sqlalchemy import Connection, text

from evolve.partition.naming import Names
from evolve.sql.names import QualifiedName

_PARTITIONS = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f')
"""
# Detached partitions that wait to be dropped among them.
_MADE = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_description AS d
    ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = c.oid AND d.objsubid = 0
 WHERE d.description LIKE 'made by evolve: %'
"""
_COPIES_OF_KEYS = """
SELECT n.nspname, c.relname, k.conname FROM pg_catalog.pg_constraint AS k
  JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE k.contype = 'f' AND k.conparentid <> 0
"""
_CONVERSIONS = """
SELECT table_schema, table_name FROM evolve.partition_conversion WHERE state NOT IN ('finished', 'abandoned')
"""

Table = tuple[str | None, str]


def leave_partitions_alone(context: AutogenContext, upgrade: UpgradeOps) -> None:
    """Take out of `upgrade` what concerns partitions, and the foreign keys that the server keeps for each of them."""
    connection = context.connection
    if connection is None or connection.dialect.name != "postgresql" or not upgrade.ops:
        return
    default = connection.dialect.default_schema_name
    tables = _tables(connection, default)
    # PostgreSQL has one such constraint for each partition that a foreign key points at.
    copies = {
        (*_key(str(schema), str(table), default), str(name))
        for schema, table, name in connection.execute(text(_COPIES_OF_KEYS))
    }
    kept: list[MigrateOperation] = []
    for operation in upgrade.ops:
        if isinstance(operation, DropTableOp | ModifyTableOps):
            key = (operation.schema, operation.table_name)
            if key in tables:
                continue
            if isinstance(operation, ModifyTableOps):
                operation.ops = [
                    inner
                    for inner in operation.ops
                    if not (
                        isinstance(inner, DropConstraintOp) and (*key, str(inner.constraint_name)) in copies
                    )
                ]
                if operation.is_empty():
                    continue
        kept.append(operation)
    upgrade.ops = kept


def _tables(connection: Connection, default: str | None) -> set[Table]:
    found = {
        _key(str(schema), str(name), default)
        for query in (_PARTITIONS, _MADE)
        for schema, name in connection.execute(text(query))
    }
    there = connection.execute(
        text("SELECT pg_catalog.to_regclass('evolve.partition_conversion') IS NOT NULL")
    )
    if there.scalar() is True:
        for schema, name in connection.execute(text(_CONVERSIONS)):
            names = Names(QualifiedName(str(name), str(schema)), 0)
            found |= {
                _key(str(schema), beside.name, default)
                for beside in (names.shadow, names.retired, names.strays)
            }
    return found


def _key(schema: str, table: str, default: str | None) -> Table:
    """As autogenerate names it."""
    return (None if schema == default else schema, table)
