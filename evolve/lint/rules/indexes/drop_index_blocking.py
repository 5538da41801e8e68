"""EV103: `DROP INDEX` without CONCURRENTLY on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DropIndexBlocking(Rule):
    id = "EV103"
    name = "drop-index-blocking"
    severity = Severity.WARNING
    looks_at = (op.DropIndex,)
    lock = LockMode.ACCESS_EXCLUSIVE
    peers = ("squawk:require-concurrent-index-deletion", "strong_migrations:remove_index", "zdm:R016")
    why = (
        "the drop itself is short, but it waits for every open transaction on the table, and all reads and "
        "writes queue behind it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropIndex(name, concurrently=False) as drop:
                known = history.schema.indexes.get(name)
            case _:
                return
        if known is None:
            if not drop.if_exists:
                yield self.finding(
                    step,
                    f'dropping index "{name.plain}" locks the table it belongs to against reads and writes',
                    safe=(code.drop_index_concurrently(name),),
                )
            return
        table = history.schema.table(known.definition.table)
        if not history.in_use(known.definition.table) or known.constraint is not None:
            return
        if table is not None and table.partition_by is not None:
            return  # PostgreSQL cannot drop the index of a partitioned table concurrently
        if _goes(known.definition.table, step, history):
            return  # which takes the same lock, and is told of
        yield self.finding(
            step,
            f'dropping index "{name.plain}" locks "{known.definition.table.plain}" against reads and writes',
            table=known.definition.table,
            safe=(code.drop_index_concurrently(name),),
        )


def _goes(table: QualifiedName, step: Step, history: History) -> bool:
    """The same transaction drops the table."""
    return step.transaction is not None and any(
        later.transaction == step.transaction
        for later in history.later()
        if isinstance(later.operation, op.DropTable) and later.operation.table == table
    )
