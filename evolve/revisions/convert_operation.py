"""`op.convert_table` and `op.unconvert_table`: Alembic operations that ask whether a table is partitioned."""

from __future__ import annotations

from collections.abc import Sequence

from alembic.operations import MigrateOperation, Operations

from evolve.partition.required_sql import converted_block, plain_block
from evolve.sql.names import parse_name


@Operations.register_operation("convert_table")
@Operations.register_operation("unconvert_table")
class ConvertTable(MigrateOperation):
    """Stop Alembic unless a table is what a revision says: partitioned going up, plain going down.

    Args:
        block: SQL that asks.
    """

    def __init__(self, block: str) -> None:
        self.block = block

    @classmethod
    def convert_table(
        cls,
        operations: Operations,
        table: str,
        *,
        plan: str,
        method: str,
        key: str | Sequence[str],
        command: str,
        empty: Sequence[str] = (),
    ) -> None:
        """Raise, and so undo the revision, unless the conversion of `table` has come to its end.

        A table without rows, as in a new database, is partitioned here. Rows are moved outside of a revision, while
        the table is read and written: by `command`. With `--sql`, print a DO block that does the same.

        Args:
            operations: Alembic's.
            table: "table" or "schema.table".
            plan: id of the plan, as the journal keeps it.
            method: "range", "list" or "hash".
            key: columns of the partition key.
            command: what begins the conversion, told where it has not begun.
            empty: statements that partition the table where it has no row.
        """
        columns = [key] if isinstance(key, str) else list(key)
        operations.invoke(
            cls(converted_block(parse_name(table), plan, method, columns, command, list(empty)))
        )

    @classmethod
    def unconvert_table(cls, operations: Operations, table: str) -> None:
        """Raise unless the conversion of `table` has been undone, or the table has no rows."""
        operations.invoke(cls(plain_block(parse_name(table))))


@Operations.implementation_for(ConvertTable)
def _ask(operations: Operations, operation: ConvertTable) -> None:
    # Whoever imports that module first imports Alembic through it, which comes here while it is half done.
    from evolve.revisions.gate_operation import escape_colons

    operations.execute(escape_colons(operation.block))
