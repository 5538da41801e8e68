"""In tests `metadata.create_all()` makes the partitions that `evolve partition premake` would make.

make_partitions(Base.metadata)  # once, in conftest.py
Base.metadata.create_all(engine)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection, Dialect, MetaData, Table, event, text

from evolve.app.convert_table import partitioner_for, sub_partitioner
from evolve.app.premake_partitions import without_core
from evolve.partition.below import below, method_and_key
from evolve.plugin_api import Column, Partition, Profile, TableInfo, bound_sql
from evolve.revisions.declared_partitions import policy_of
from evolve.revisions.gate_operation import escape_colons
from evolve.sql.names import QualifiedName, quote


def make_partitions(metadata: MetaData, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
    """From here on each table of `metadata` whose model has a policy is created with its partitions of now.

    The policy is `info={"evolve": {"partition": {…}}}`; the model says `postgresql_partition_by` as well.

    Args:
        metadata: of the models.
        clock: gives now, with its time zone.

    Raises, when tables are created:
        BadPolicy, NoSuchMethod, BadOptions, BadSub: what a model says cannot be read.
    """

    # Nobody uses a table that is being made, so PARTITION OF makes nobody wait.
    def make(table: Table, connection: Connection, **_: object) -> None:
        if connection.dialect.name == "postgresql":
            for statement in _statements(table, connection.dialect, clock()):
                connection.execute(text(escape_colons(statement)))

    for table in metadata.tables.values():
        event.listen(table, "after_create", make)


def _statements(table: Table, dialect: Dialect, now: datetime) -> list[str]:
    name = QualifiedName(str(table.name), str(table.schema or "public"))
    policy = policy_of(name, table.info)
    if policy is None:
        return []
    method, options = policy
    info = _info(table, name, dialect)
    partitioner = partitioner_for(name, method, without_core(options), info)
    sub = sub_partitioner(name, options.get("sub"), info)
    statements = []
    for partition in partitioner.initial(name.name, Profile(), now):
        parts = below(sub, partition)
        cut = f" PARTITION BY {method_and_key(sub)}" if sub is not None and parts else ""
        statements.append(_partition_of(table, partition, name.name) + cut)
        statements += [_partition_of(table, part, partition.name) for part in parts]
    return statements


def _partition_of(table: Table, partition: Partition, parent: str) -> str:
    # A model without a schema lives wherever the search path says.
    schema = f"{quote(table.schema)}." if table.schema is not None else ""
    of = f"{schema}{quote(parent)} {bound_sql(partition.bound)}"
    return f"CREATE TABLE {schema}{quote(partition.name)} PARTITION OF {of}"


def _info(table: Table, name: QualifiedName, dialect: Dialect) -> TableInfo:
    columns = tuple(
        Column(
            str(column.name),
            column.type.compile(dialect=dialect).lower(),
            not column.nullable,
            column.computed is not None,
        )
        for column in table.columns
    )
    return TableInfo(name, columns, tuple(str(column.name) for column in table.primary_key))
