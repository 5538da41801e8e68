"""The index that a statement makes."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.schema import Column
from evolve.sql.steps import Step


def made(step: Step, history: History) -> op.IndexDefinition | None:
    """None where IF NOT EXISTS meets an index of that name, and for what makes no index."""
    match step.operation:
        case op.CreateIndex(index, if_not_exists=True) if _known(history, index):
            return None
        case op.CreateIndex(index):
            return index
        case _:
            return None


def name_of(index: op.IndexDefinition) -> str:
    """Its name, or about the one that PostgreSQL makes up."""
    return index.name or shorten(index.table.name, *(column or "expr" for column in index.columns), "idx")


def key_columns(index: op.IndexDefinition, history: History) -> Iterator[tuple[op.IndexKey, Column]]:
    """The keys that are plain columns, with what is known of each."""
    for key in index.keys:
        column = history.schema.column(index.table, key.column) if key.column is not None else None
        if column is not None:
            yield key, column


def _known(history: History, index: op.IndexDefinition) -> bool:
    return QualifiedName(index.name or "", index.table.schema) in history.schema.indexes
