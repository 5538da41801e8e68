"""`op.require_backfill`: an Alembic operation that stops an upgrade unless a backfill is done."""

from __future__ import annotations

from alembic.operations import MigrateOperation, Operations

from evolve.plan.require_sql import require_block


@Operations.register_operation("require_backfill")
class RequireBackfill(MigrateOperation):
    """Stop the upgrade unless a backfill is done, and verified where it can be."""

    def __init__(self, name: str, rows: str | None) -> None:
        self.name = name
        self.rows = rows

    @classmethod
    def require_backfill(cls, operations: Operations, name: str, *, rows: str | None = None) -> None:
        """Raise, and so undo the revision, unless backfill `name` is done; with `--sql`, print a DO block.

        Args:
            operations: Alembic's.
            name: as `evolve backfill status` shows it.
            rows: "table" or "table WHERE predicate": what the backfill is for. Where it has never run and there is no
                such row, as in a new database, nothing is required. Without, it must have run everywhere.
        """
        operations.invoke(cls(name, rows))


@Operations.implementation_for(RequireBackfill)
def _require(operations: Operations, operation: RequireBackfill) -> None:
    # Whoever imports that module first imports Alembic through it, which comes here while it is half done.
    from evolve.revisions.gate_operation import escape_colons

    operations.execute(escape_colons(require_block(operation.name, operation.rows)))
