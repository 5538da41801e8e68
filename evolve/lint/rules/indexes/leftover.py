"""The invalid index that a failed concurrent build leaves behind, and the statement that takes it away."""

from __future__ import annotations

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName


def cleared(index: op.IndexDefinition, history: History) -> bool:
    """True where the same revision drops an index of that name before."""
    name = QualifiedName(index.name or "", index.table.schema)
    return any(
        isinstance(earlier.operation, op.DropIndex) and earlier.operation.index == name
        for earlier in history.revision[: history.position]
    )


def without_leftover(index: op.IndexDefinition, name: str) -> str:
    """Drop what may be there, then build: a revision that can be run again after it failed."""
    drop = code.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {QualifiedName(name, index.table.schema)}")
    return "\n".join((code.autocommit(drop), code.create_index_concurrently(index, name)))
