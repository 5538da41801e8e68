"""EV510: a change by hand of a table that pg_partman, TimescaleDB or Citus looks after."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.schema import Table
from evolve.sql.steps import Step


class ManagedTableDdl(Rule):
    id = "EV510"
    name = "managed-table-ddl"
    severity = Severity.WARNING
    looks_at = (
        op.CreateTable,
        op.AttachPartition,
        op.DetachPartition,
        op.RenameTable,
        op.DropTable,
        op.CreateIndex,
        op.AlterColumnType,
        op.AddConstraint,
    )
    why = "the extension keeps a list of its own of partitions or shards, and does not learn of what is done past it"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        found = _managed(step.operation, history)
        if found is None or found.managed_by is None:
            return
        advice = _advice(found.managed_by, step.operation)
        if advice is not None:
            message, fix = advice
            yield self.finding(
                step, f'{found.managed_by} looks after "{found.name.plain}": {message}', fix=fix
            )


def _managed(operation: op.Operation, history: History) -> Table | None:
    """The managed table that is changed, or whose partition is."""
    match operation:
        case op.CreateTable(partition_of=name) if name is not None:
            return history.schema.table(name)
        case op.CreateTable():
            return None
        case (
            op.AttachPartition(table=name)
            | op.DetachPartition(table=name)
            | op.RenameTable(table=name)
            | op.CreateIndex(index=op.IndexDefinition(table=name))
            | op.AlterColumnType(table=name)
            | op.AddConstraint(table=name)
        ):
            return history.schema.table(name)
        case op.DropTable(table=name):
            found = history.schema.table(name)
            above = found.partition_of if found is not None else None
            return history.schema.table(above) if above is not None else None
        case _:
            return None


def _advice(manager: str, operation: op.Operation) -> tuple[str, str] | None:
    """What goes wrong and what to do instead; None where the extension follows the statement by itself."""
    match manager, operation:
        case "pg_partman", op.CreateTable() | op.AttachPartition():
            return (
                "a partition made by hand is in the way of its own",
                "partman.run_maintenance() makes partitions",
            )
        case "pg_partman", op.DetachPartition() | op.DropTable():
            return "it drops old partitions itself", "set retention in partman.part_config"
        case "pg_partman", op.RenameTable():
            return (
                "its configuration names the table",
                "update parent_table in partman.part_config in the same revision",
            )
        case "pg_partman", op.AddConstraint(constraint=op.PrimaryKey() | op.Unique()):
            return "keys without the partition key live in its template table", "add it to the template table"
        case "TimescaleDB", op.CreateIndex(concurrently=True):
            return (
                "CONCURRENTLY is refused on a hypertable",
                "WITH (timescaledb.transaction_per_chunk), in autocommit",
            )
        case "TimescaleDB", op.CreateIndex(concurrently=False):
            return (
                "writes to all chunks wait until the index is built on each of them",
                "WITH (timescaledb.transaction_per_chunk), in an autocommit block",
            )
        case "TimescaleDB", op.DropTable() | op.DetachPartition() | op.AttachPartition() | op.CreateTable():
            return "its chunks are not made or dropped by hand", "drop_chunks() drops them"
        case "TimescaleDB", op.AlterColumnType():
            return (
                "every chunk is changed in one transaction, and compressed ones refuse it",
                "add a column beside it",
            )
        case "Citus", op.CreateIndex(concurrently=False) | op.AlterColumnType():
            return "every shard on every worker is locked in one distributed transaction", (
                "build indexes CONCURRENTLY; change types through a column beside it"
            )
        case "Citus", op.AddConstraint(constraint=op.PrimaryKey() | op.Unique()):
            return (
                "a unique key must contain the distribution column",
                "make the distribution column part of the key",
            )
        case _:
            return None
