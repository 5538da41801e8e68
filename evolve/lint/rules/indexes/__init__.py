"""Rules about indexes."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.concurrently_in_transaction import ConcurrentlyInTransaction
from evolve.lint.rules.indexes.create_index_blocking import CreateIndexBlocking
from evolve.lint.rules.indexes.drop_index_blocking import DropIndexBlocking
from evolve.lint.rules.indexes.index_redundant import IndexRedundant

RULES: tuple[Rule, ...] = (
    ConcurrentlyInTransaction(),
    CreateIndexBlocking(),
    DropIndexBlocking(),
    IndexRedundant(),
)
