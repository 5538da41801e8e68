"""Build an index while everybody reads and writes, and take it away again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evolve.plan.target import TargetIndex
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.operations import CreateIndex, IndexDefinition
from evolve.sql.parse import conjuncts, parse
from evolve.sql.statements import Statement


def columns_sql(names: Iterable[str]) -> str:
    return ", ".join(quote(name) for name in names)


def definition_of(sql: str) -> IndexDefinition | None:
    """What a CREATE INDEX makes; None where the text is not one such statement."""
    match parse(sql):
        case (CreateIndex(index=definition),):
            return definition
        case _:
            return None


def clear_leftover(index: QualifiedName) -> Statement:
    """Drop what an interrupted build left behind, so that the next statement may be run again."""
    return Statement(
        f"DROP INDEX CONCURRENTLY IF EXISTS {index}",
        LockMode.SHARE_UPDATE_EXCLUSIVE,
        "reads and writes go on; it clears away what an interrupted build left behind",
        transactional=False,
    )


def build(index: QualifiedName, sql: str, why: str) -> tuple[Statement, Statement]:
    """Clear the name, and build; `sql` is CREATE INDEX CONCURRENTLY."""
    return (
        clear_leftover(index),
        Statement(sql, LockMode.SHARE_UPDATE_EXCLUSIVE, why, transactional=False),
    )


def drop(index: QualifiedName) -> Statement:
    """Bears being run again."""
    return Statement(
        f"DROP INDEX CONCURRENTLY IF EXISTS {index}",
        LockMode.SHARE_UPDATE_EXCLUSIVE,
        "reads and writes go on; it waits for transactions that may still use the index",
        transactional=False,
    )


def serving(indexes: Iterable[TargetIndex], columns: Sequence[str]) -> TargetIndex | None:
    """A valid index over all rows that leads with `columns`, in any order; one that leaves out nulls counts."""
    not_null = {part for column in columns for part in conjuncts(f"{quote(column)} IS NOT NULL")}
    for index in indexes:
        definition = definition_of(index.definition)
        if not index.valid or definition is None:
            continue
        keys = [key.column for key in definition.keys]
        leads = definition.method == "btree" and set(keys[: len(columns)]) == set(columns)
        if definition.method == "hash":
            leads = keys == list(columns)
        whole = definition.where is None or set(conjuncts(definition.where.sql)) <= not_null
        if leads and whole:
            return index
    return None
