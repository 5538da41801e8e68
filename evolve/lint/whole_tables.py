"""What rules about many rows ask: whether another rule speaks of the statement, and whether the table is small."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql.names import QualifiedName


def under_ddl_lock(history: History) -> bool:
    """True where the transaction keeps a lock that stops writers: EV110 speaks of a statement that changes rows."""
    kept = history.transaction.strongest()
    return kept is not None and kept[1].blocks_writes


def is_known_small(table: QualifiedName, history: History) -> bool:
    """False where no facts are given."""
    size = history.facts.size(table) if history.facts is not None else None
    return size is not None and history.thresholds.is_small(size)
