"""How an index or a foreign key comes to each partition in a revision: the statements that are still to do."""

from __future__ import annotations

from collections.abc import Sequence

from alembic.operations import Operations

from evolve.errors import Misuse, Refused
from evolve.partition.revision_sql import ForeignKeyOnEach, IndexOnEach
from evolve.revisions.partition_builds import AddForeignKeyOnPartitions, CreateIndexOnPartitions
from evolve.revisions.partition_catalog import Catalog, Member, catalog, is_open, known_members, send
from evolve.revisions.partition_steps import NeedsAutocommit
from evolve.sql.names import QualifiedName, check_length, parse_name, quote


class PartitionsUnknown(Misuse):
    def __init__(self, table: QualifiedName, operation: str) -> None:
        super().__init__(
            f'nobody can be asked for the partitions of "{table.plain}"',
            why="with --sql there is no database, and the statements name each partition",
            fix=f'say them: op.{operation}(…, partitions=["{table.plain}_2026", …])',
        )


class CutTwice(Refused):
    def __init__(self, table: QualifiedName, partition: QualifiedName, operation: str) -> None:
        super().__init__(
            f'partition "{partition.plain}" of "{table.plain}" is partitioned itself',
            why=f"op.{operation} goes through one level of partitions",
            fix=f"run op.{operation} for {partition.plain} first, under a name of its own, and attach that by hand",
        )


class PartitionsMissing(Refused):
    def __init__(self, table: QualifiedName, missing: Sequence[QualifiedName], operation: str) -> None:
        names = ", ".join(f'"{name.plain}"' for name in missing)
        super().__init__(
            f'"{table.plain}" has partitions that the revision does not name: {names}',
            why="what a partition lacks is built by the last step, while writes wait",
            fix=f"leave partitions= out of op.{operation}, or add them",
        )


def create_index(operations: Operations, operation: CreateIndexOnPartitions) -> None:
    if is_open(operations):
        raise NeedsAutocommit("create_index_on_partitions")
    index = _index(operation)
    partitions = _partitions(operations, index.table, operation.partitions, "create_index_on_partitions")
    there = catalog(operations)
    if there is None or there.index(index.index) is None:
        send(operations, index.on_parent)
    for partition in partitions:
        part = index.part(partition)
        found = there.index(part) if there is not None else None
        if found is not None and not found[0]:
            send(operations, f"DROP INDEX CONCURRENTLY {part.full}")
            found = None
        if found is None:
            send(operations, index.on_partition(partition))
        if found is None or not found[1]:
            send(operations, index.attach(partition))


def add_foreign_key(operations: Operations, operation: AddForeignKeyOnPartitions) -> None:
    if is_open(operations):
        raise NeedsAutocommit("add_fk_on_partitions")
    key = _foreign_key(operation)
    partitions = _partitions(operations, key.table, operation.partitions, "add_fk_on_partitions")
    there = catalog(operations)
    if _validated(there, key.table, key.name) is not None:
        return
    for partition in partitions:
        validated = _validated(there, partition, key.name)
        if validated is None:
            send(operations, key.on(partition, not_valid=True))
        if validated is not True:
            send(operations, key.validate(partition))
    send(operations, key.on(key.table, not_valid=False))


def _validated(there: Catalog | None, table: QualifiedName, name: str) -> bool | None:
    return there.validated(table, name) if there is not None else None


def _partitions(
    operations: Operations, table: QualifiedName, named: Sequence[str] | None, operation: str
) -> tuple[QualifiedName, ...]:
    members: tuple[Member, ...] | None = known_members(operations, table)
    for member in members or ():
        if member.cut:
            raise CutTwice(table, member.name, operation)
    if named is not None:
        wanted = tuple(map(parse_name, named))
        missing = [member.name for member in members or () if member.name not in wanted]
        if missing:
            raise PartitionsMissing(table, missing, operation)
        return wanted
    if members is None:
        if operations.migration_context.as_sql:
            raise PartitionsUnknown(table, operation)
        return ()
    return tuple(member.name for member in members)


def _index(operation: CreateIndexOnPartitions) -> IndexOnEach:
    keys = ", ".join(f"({key})" if "(" in key else quote(key) for key in operation.columns)
    using = f"USING {quote(operation.using)} " if operation.using else ""
    include = f" INCLUDE ({', '.join(map(quote, operation.include))})" if operation.include else ""
    where = f" WHERE {operation.where}" if operation.where else ""
    return IndexOnEach(
        check_length(operation.name),
        parse_name(operation.table),
        f"{using}({keys}){include}{where}",
        unique=operation.unique,
    )


def _foreign_key(operation: AddForeignKeyOnPartitions) -> ForeignKeyOnEach:
    actions = f" ON UPDATE {operation.onupdate}" if operation.onupdate else ""
    actions += f" ON DELETE {operation.ondelete}" if operation.ondelete else ""
    return ForeignKeyOnEach(
        check_length(operation.name),
        parse_name(operation.table),
        operation.columns,
        parse_name(operation.referred),
        operation.referred_columns,
        actions,
    )
