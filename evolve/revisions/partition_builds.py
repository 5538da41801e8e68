"""`op.create_index_on_partitions` and `op.add_fk_on_partitions`: one partition after the other, while all are used.

In an autocommit block, since no lock may be kept until the last partition is done. What is done already is left as it
is, so that a revision that was interrupted can be run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alembic.autogenerate.render import renderers
from alembic.operations import MigrateOperation, Operations

from evolve.revisions.written_calls import in_autocommit, prefix

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


@Operations.register_operation("create_index_on_partitions")
class CreateIndexOnPartitions(MigrateOperation):
    """An index of a partitioned table and of each of its partitions."""

    def __init__(
        self,
        name: str,
        table: str,
        columns: Sequence[str],
        *,
        unique: bool = False,
        using: str | None = None,
        include: Sequence[str] = (),
        where: str | None = None,
        partitions: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.table = table
        self.columns = tuple(columns)
        self.unique = unique
        self.using = using
        self.include = tuple(include)
        self.where = where
        self.partitions = None if partitions is None else tuple(partitions)

    @classmethod
    def create_index_on_partitions(
        cls,
        operations: Operations,
        name: str,
        table: str,
        columns: Sequence[str],
        *,
        unique: bool = False,
        using: str | None = None,
        include: Sequence[str] = (),
        where: str | None = None,
        partitions: Sequence[str] | None = None,
    ) -> None:
        """Build an index CONCURRENTLY on each partition, then make them one of `table`; nobody waits.

        An index that an interrupted build left invalid is dropped concurrently and built again.

        Args:
            operations: Alembic's.
            name: of the index of `table`; those of the partitions are called "<partition>_<name>".
            table: "table" or "schema.table".
            columns: names; what holds a bracket is an expression, such as "lower(email)".
            unique: the columns must hold the partition key.
            using: the method, btree if None.
            include: further columns that it carries.
            where: SQL of a partial index.
            partitions: asked of the database where it is left out; needed with `--sql`.

        Raises:
            NeedsAutocommit: a transaction is open.
            PartitionsUnknown: with `--sql`, `partitions` is left out.
            PartitionsMissing: there are partitions that `partitions` does not name.
            CutTwice: a partition has partitions of its own.
        """
        operations.invoke(
            cls(
                name,
                table,
                columns,
                unique=unique,
                using=using,
                include=include,
                where=where,
                partitions=partitions,
            )
        )


@Operations.register_operation("add_fk_on_partitions")
class AddForeignKeyOnPartitions(MigrateOperation):
    """A foreign key of a partitioned table and of each of its partitions."""

    def __init__(
        self,
        name: str,
        table: str,
        referred: str,
        columns: Sequence[str],
        referred_columns: Sequence[str],
        *,
        ondelete: str | None = None,
        onupdate: str | None = None,
        partitions: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.table = table
        self.referred = referred
        self.columns = tuple(columns)
        self.referred_columns = tuple(referred_columns)
        self.ondelete = ondelete
        self.onupdate = onupdate
        self.partitions = None if partitions is None else tuple(partitions)

    @classmethod
    def add_fk_on_partitions(
        cls,
        operations: Operations,
        name: str,
        table: str,
        referred: str,
        columns: Sequence[str],
        referred_columns: Sequence[str],
        *,
        ondelete: str | None = None,
        onupdate: str | None = None,
        partitions: Sequence[str] | None = None,
    ) -> None:
        """Add a foreign key NOT VALID to each partition, validate it there, then add it to `table`, which reads no row.

        The same on every version: before 18 PostgreSQL takes no NOT VALID foreign key of a partitioned table.

        Args:
            operations: Alembic's.
            name: of the foreign key, on `table` and on each partition.
            table: "table" or "schema.table".
            referred: the table it points to, the same way.
            columns: of `table`.
            referred_columns: of `referred`.
            ondelete: "CASCADE", "SET NULL", …
            onupdate: the same.
            partitions: asked of the database where it is left out; needed with `--sql`.

        Raises:
            NeedsAutocommit: a transaction is open.
            PartitionsUnknown: with `--sql`, `partitions` is left out.
            PartitionsMissing: there are partitions that `partitions` does not name.
            CutTwice: a partition has partitions of its own.
        """
        operations.invoke(
            cls(
                name,
                table,
                referred,
                columns,
                referred_columns,
                ondelete=ondelete,
                onupdate=onupdate,
                partitions=partitions,
            )
        )


@Operations.implementation_for(CreateIndexOnPartitions)
def _create_index(operations: Operations, operation: CreateIndexOnPartitions) -> None:
    from evolve.revisions import partition_build_steps

    partition_build_steps.create_index(operations, operation)


@Operations.implementation_for(AddForeignKeyOnPartitions)
def _add_foreign_key(operations: Operations, operation: AddForeignKeyOnPartitions) -> None:
    from evolve.revisions import partition_build_steps

    partition_build_steps.add_foreign_key(operations, operation)


@renderers.dispatch_for(CreateIndexOnPartitions)
def _render_index(context: AutogenContext, operation: CreateIndexOnPartitions) -> str:
    arguments = [repr(operation.name), repr(operation.table), repr(list(operation.columns))]
    if operation.unique:
        arguments.append("unique=True")
    if operation.using is not None:
        arguments.append(f"using={operation.using!r}")
    if operation.include:
        arguments.append(f"include={list(operation.include)!r}")
    if operation.where is not None:
        arguments.append(f"where={operation.where!r}")
    return _call(context, "create_index_on_partitions", arguments, operation.partitions)


@renderers.dispatch_for(AddForeignKeyOnPartitions)
def _render_foreign_key(context: AutogenContext, operation: AddForeignKeyOnPartitions) -> str:
    arguments = [repr(text) for text in (operation.name, operation.table, operation.referred)]
    arguments += [repr(list(operation.columns)), repr(list(operation.referred_columns))]
    if operation.ondelete is not None:
        arguments.append(f"ondelete={operation.ondelete!r}")
    if operation.onupdate is not None:
        arguments.append(f"onupdate={operation.onupdate!r}")
    return _call(context, "add_fk_on_partitions", arguments, operation.partitions)


def _call(context: AutogenContext, name: str, arguments: list[str], partitions: Sequence[str] | None) -> str:
    if partitions is not None:
        arguments = [*arguments, f"partitions={list(partitions)!r}"]
    return in_autocommit(context, f"{prefix(context)}{name}({', '.join(arguments)})")
