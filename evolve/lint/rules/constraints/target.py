"""The columns that a foreign key points at."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql import operations as op


def target_columns(key: op.ForeignKey, history: History) -> tuple[str, ...]:
    """The target's primary key where the statement names no columns."""
    if key.target_columns:
        return key.target_columns
    target = history.schema.table(key.target)
    primary = target.primary_key if target else None
    return primary.columns if primary else key.columns
