"""What autogenerate says of partitioned tables: a change of scheme, which it asks for and never writes, and partitions
that a model declares and the database lacks.
"""

from __future__ import annotations

import logging

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreateTableOp, UpgradeOps
from sqlalchemy import Connection, Table, text

from evolve.revisions.model_partitions import written_partitions
from evolve.revisions.partition_operations import CreatePartition, PlanConversion
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse
from evolve.values import dataclass

log = logging.getLogger("alembic.autogenerate.evolve")

_TABLES = """
SELECT n.nspname::text, c.relname::text, pg_catalog.pg_get_partkeydef(c.oid), c.relispartition
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p')
"""


@dataclass(frozen=True, slots=True)
class _There:
    by: str | None
    partition: bool


def compare_partitions(context: AutogenContext, upgrade: UpgradeOps) -> None:
    """Add to `upgrade` what differs between the models and the database.

    A model that says nothing of partitions says nothing against them either.

    Raises:
        BadPartitions: what a model declares cannot be read.
    """
    connection = context.connection
    if connection is None or connection.dialect.name != "postgresql":
        return
    models = [table for table in context.sorted_tables if _scheme(table) is not None]
    if not models:
        return
    there, default = _tables(connection), connection.dialect.default_schema_name or "public"
    made = {(each.schema, each.table_name) for each in upgrade.ops if isinstance(each, CreateTableOp)}
    for table in models:
        name = QualifiedName(str(table.name), str(table.schema or default))
        wanted = str(_scheme(table))
        found = there.get(name)
        if found is None and (table.schema, table.name) not in made:
            continue  # env.py leaves it out
        if found is not None and _keys(found.by) != _keys(wanted):
            log.warning(
                "Detected partitioning of %s by %s, and its model says %s: evolve partition convert",
                name.plain,
                found.by or "nothing",
                wanted,
            )
            upgrade.ops.append(PlanConversion(name.plain, found.by, wanted))
            continue
        for each in written_partitions(table):
            own = QualifiedName(each.name.name, name.schema)
            if own not in there or not there[own].partition:
                parent = QualifiedName(each.parent.name, name.schema)
                upgrade.ops.append(CreatePartition(str(parent), str(own), each.bound, each.by))


def _scheme(table: Table) -> object:
    return table.dialect_options["postgresql"].get("partition_by")


def _tables(connection: Connection) -> dict[QualifiedName, _There]:
    return {
        QualifiedName(str(name), str(schema)): _There(None if by is None else str(by), bool(partition))
        for schema, name, by, partition in connection.execute(text(_TABLES))
    }


def _keys(by: str | None) -> object:
    """Equal for what means the same, however it is written."""
    if by is None:
        return None
    for operation in parse(f"CREATE TABLE t () PARTITION BY {by}"):
        if isinstance(operation, op.CreateTable) and operation.partition_by is not None:
            return operation.partition_by
    return " ".join(by.lower().split())  # nobody can read it, and PostgreSQL would not either
