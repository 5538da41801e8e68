"""`op.create_partition`, `op.attach_partition`, `op.detach_partition` and `op.drop_partition`: no query waits for them.

Each looks first what is there, so that a revision that was interrupted can be run again. With `--sql` nobody can be
asked: the statements stand there as a database needs them that has seen none of them.

Alembic loads this module each time it is imported, so the work itself is elsewhere: `partition_steps.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alembic.autogenerate.render import renderers
from alembic.operations import MigrateOperation, Operations

from evolve.revisions.written_calls import in_autocommit, prefix

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


@Operations.register_operation("create_partition")
class CreatePartition(MigrateOperation):
    """A new, empty partition."""

    def __init__(self, parent: str, name: str, bound: str, partition_by: str | None = None) -> None:
        self.parent = parent
        self.name = name
        self.bound = bound
        self.partition_by = partition_by

    @classmethod
    def create_partition(
        cls,
        operations: Operations,
        parent: str,
        name: str,
        bound: str,
        *,
        partition_by: str | None = None,
    ) -> None:
        """Make a partition as a table of its own and attach it: no query of `parent` waits, nor makes this wait.

        In the revision's transaction or in an autocommit block. One that is there already is left as it is, and an
        empty table of that name, as an interrupted attempt leaves it, is attached.

        Args:
            operations: Alembic's.
            parent: "table" or "schema.table".
            name: of the partition, the same way.
            bound: as PostgreSQL writes it: "FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')", or "DEFAULT".
            partition_by: cuts it once more, such as "HASH (tenant_id)"; it then has no partitions yet.

        Raises:
            BadBound: `bound` is not written so.
            OtherBound: a partition of that name holds other keys.
            TableInTheWay: a table of that name holds rows, or belongs to another.
            HalfDetached: it is half detached.
        """
        operations.invoke(cls(parent, name, bound, partition_by))

    def reverse(self) -> MigrateOperation:
        return DropPartition(self.parent, self.name)

    def to_diff_tuple(self) -> tuple[str, ...]:
        return "add_partition", self.parent, self.name, self.bound


@Operations.register_operation("attach_partition")
class AttachPartition(MigrateOperation):
    """A table that becomes a partition."""

    def __init__(self, parent: str, name: str, bound: str, key: str | Sequence[str] = ()) -> None:
        self.parent = parent
        self.name = name
        self.bound = bound
        self.key = (key,) if isinstance(key, str) else tuple(key)

    @classmethod
    def attach_partition(
        cls, operations: Operations, parent: str, name: str, bound: str, *, key: str | Sequence[str] = ()
    ) -> None:
        """Attach a table with rows, behind a CHECK that is validated first, while both are read and written.

        In an autocommit block: the lock that adds the CHECK must not be kept while rows are read. Indexes and foreign
        keys that the table lacks are built by ATTACH under its lock: make them before. No CHECK is known for a key of
        several columns, and ATTACH reads the table then.

        Args:
            operations: Alembic's.
            parent: "table" or "schema.table".
            name: of the table, the same way.
            bound: as PostgreSQL writes it.
            key: columns of the partition key; asked of the database where it is left out.

        Raises:
            BadBound: `bound` is not written so.
            NeedsAutocommit: a transaction is open.
            KeyUnknown: with `--sql`, `key` is left out.
            NotAPartition: there is no such table, or it is a partition of another.
            OtherBound: it is a partition already, and holds other keys.
            HalfDetached: it is half detached.
        """
        operations.invoke(cls(parent, name, bound, key))

    def reverse(self) -> MigrateOperation:
        return DetachPartition(self.parent, self.name)


@Operations.register_operation("detach_partition")
class DetachPartition(MigrateOperation):
    """A partition that becomes a table of its own."""

    def __init__(self, parent: str, name: str, *, concurrently: bool = True) -> None:
        self.parent = parent
        self.name = name
        self.concurrently = concurrently

    @classmethod
    def detach_partition(
        cls, operations: Operations, parent: str, name: str, *, concurrently: bool = True
    ) -> None:
        """Detach a partition; one that is detached already is left as it is, one half detached is detached.

        Args:
            operations: Alembic's.
            parent: "table" or "schema.table".
            name: of the partition, the same way.
            concurrently: wait for older transactions and block none; in an autocommit block, and PostgreSQL refuses
                it beside a DEFAULT partition. Without it every query of `parent` waits.

        Raises:
            NeedsAutocommit: with `concurrently`, a transaction is open.
            NotAPartition: there is no such table, or it is a partition of another.
        """
        operations.invoke(cls(parent, name, concurrently=concurrently))


@Operations.register_operation("drop_partition")
class DropPartition(MigrateOperation):
    """A partition that goes with its rows."""

    def __init__(self, parent: str, name: str) -> None:
        self.parent = parent
        self.name = name

    @classmethod
    def drop_partition(cls, operations: Operations, parent: str, name: str) -> None:
        """Detach a partition concurrently and drop the table, which then only it locks. Never CASCADE.

        In an autocommit block. One that is gone already is no error; one that is detached is dropped.

        Args:
            operations: Alembic's.
            parent: "table" or "schema.table".
            name: of the partition, the same way.

        Raises:
            NeedsAutocommit: a transaction is open.
            NotAPartition: it is a partition of another table, or one that was never a partition.
        """
        operations.invoke(cls(parent, name))


class PlanConversion(MigrateOperation):
    """A table that is partitioned otherwise than its model says. It only speaks: rows are not moved in a revision.

    Args:
        found: how the database has it, None where it is a plain table.
        wanted: how the model has it.
    """

    def __init__(self, table: str, found: str | None, wanted: str) -> None:
        self.table = table
        self.found = found
        self.wanted = wanted

    def reverse(self) -> MigrateOperation:
        return PlanConversion(self.table, self.wanted, self.found or "nothing")

    def to_diff_tuple(self) -> tuple[str, ...]:
        return "modify_partitioning", self.table, self.found or "nothing", self.wanted


@Operations.implementation_for(CreatePartition)
def _create(operations: Operations, operation: CreatePartition) -> None:
    from evolve.revisions import partition_steps

    partition_steps.create(operations, operation)


@Operations.implementation_for(AttachPartition)
def _attach(operations: Operations, operation: AttachPartition) -> None:
    from evolve.revisions import partition_steps

    partition_steps.attach(operations, operation)


@Operations.implementation_for(DetachPartition)
def _detach(operations: Operations, operation: DetachPartition) -> None:
    from evolve.revisions import partition_steps

    partition_steps.detach(operations, operation)


@Operations.implementation_for(DropPartition)
def _drop(operations: Operations, operation: DropPartition) -> None:
    from evolve.revisions import partition_steps

    partition_steps.drop(operations, operation)


@renderers.dispatch_for(CreatePartition)
def _render_create(context: AutogenContext, operation: CreatePartition) -> str:
    cut = f", partition_by={operation.partition_by!r}" if operation.partition_by is not None else ""
    return f"{_call(context, 'create_partition', operation)}, {operation.bound!r}{cut})"


@renderers.dispatch_for(AttachPartition)
def _render_attach(context: AutogenContext, operation: AttachPartition) -> str:
    key = f", key={list(operation.key)!r}" if operation.key else ""
    return in_autocommit(
        context, f"{_call(context, 'attach_partition', operation)}, {operation.bound!r}{key})"
    )


@renderers.dispatch_for(DetachPartition)
def _render_detach(context: AutogenContext, operation: DetachPartition) -> str:
    call = _call(context, "detach_partition", operation)
    return in_autocommit(context, f"{call})") if operation.concurrently else f"{call}, concurrently=False)"


@renderers.dispatch_for(DropPartition)
def _render_drop(context: AutogenContext, operation: DropPartition) -> str:
    return in_autocommit(context, f"{_call(context, 'drop_partition', operation)})")


@renderers.dispatch_for(PlanConversion)
def _render_conversion(context: AutogenContext, operation: PlanConversion) -> list[str]:
    del context
    # A body of comments alone is none.
    return [
        f"# {operation.table} is partitioned by {operation.found or 'nothing'}; its model says {operation.wanted}.",
        "# Rows are not moved here: evolve partition convert --revision writes the revision that asks for it.",
        "pass",
    ]


def _call(
    context: AutogenContext,
    name: str,
    operation: CreatePartition | AttachPartition | DetachPartition | DropPartition,
) -> str:
    return f"{prefix(context)}{name}({operation.parent!r}, {operation.name!r}"
