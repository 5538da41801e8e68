"""Rules about indexes: building, dropping, rebuilding and sparing them, and what they are good for."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.cluster import Cluster
from evolve.lint.rules.indexes.concurrent_if_not_exists import ConcurrentIfNotExists
from evolve.lint.rules.indexes.concurrently_in_transaction import ConcurrentlyInTransaction
from evolve.lint.rules.indexes.concurrently_not_alone import ConcurrentlyNotAlone
from evolve.lint.rules.indexes.concurrently_partitioned import ConcurrentlyPartitioned
from evolve.lint.rules.indexes.create_index_blocking import CreateIndexBlocking
from evolve.lint.rules.indexes.drop_constraint_backing_index import DropConstraintBackingIndex
from evolve.lint.rules.indexes.drop_index import DropIndex
from evolve.lint.rules.indexes.drop_index_before_replacement import DropIndexBeforeReplacement
from evolve.lint.rules.indexes.drop_index_blocking import DropIndexBlocking
from evolve.lint.rules.indexes.gin_jsonb_ops import GinJsonbOps
from evolve.lint.rules.indexes.index_btree_on_geometry import IndexBtreeOnGeometry
from evolve.lint.rules.indexes.index_btree_on_jsonb import IndexBtreeOnJsonb
from evolve.lint.rules.indexes.index_corruption_14 import IndexCorruption14
from evolve.lint.rules.indexes.index_count import IndexCount
from evolve.lint.rules.indexes.index_duplicate_column import IndexDuplicateColumn
from evolve.lint.rules.indexes.index_hash import IndexHash
from evolve.lint.rules.indexes.index_invalid_leftover import IndexInvalidLeftover
from evolve.lint.rules.indexes.index_low_cardinality import IndexLowCardinality
from evolve.lint.rules.indexes.index_method_unfit import IndexMethodUnfit
from evolve.lint.rules.indexes.index_null_heavy import IndexNullHeavy
from evolve.lint.rules.indexes.index_redundant import IndexRedundant
from evolve.lint.rules.indexes.index_too_wide import IndexTooWide
from evolve.lint.rules.indexes.index_useless_where import IndexUselessWhere
from evolve.lint.rules.indexes.index_vector_parameters import IndexVectorParameters
from evolve.lint.rules.indexes.not_immutable import NotImmutable
from evolve.lint.rules.indexes.refresh_needs_unique_index import RefreshNeedsUniqueIndex
from evolve.lint.rules.indexes.reindex_blocking import ReindexBlocking
from evolve.lint.rules.indexes.timestamp_in_middle import TimestampInMiddle
from evolve.lint.rules.indexes.vacuum_full import VacuumFull
from evolve.lint.rules.indexes.vacuum_in_transaction import VacuumInTransaction

RULES: tuple[Rule, ...] = (
    Cluster(),
    ConcurrentIfNotExists(),
    ConcurrentlyInTransaction(),
    ConcurrentlyNotAlone(),
    ConcurrentlyPartitioned(),
    CreateIndexBlocking(),
    DropConstraintBackingIndex(),
    DropIndex(),
    DropIndexBeforeReplacement(),
    DropIndexBlocking(),
    GinJsonbOps(),
    IndexBtreeOnGeometry(),
    IndexBtreeOnJsonb(),
    IndexCorruption14(),
    IndexCount(),
    IndexDuplicateColumn(),
    IndexHash(),
    IndexInvalidLeftover(),
    IndexLowCardinality(),
    IndexMethodUnfit(),
    IndexNullHeavy(),
    IndexRedundant(),
    IndexTooWide(),
    IndexUselessWhere(),
    IndexVectorParameters(),
    NotImmutable(),
    RefreshNeedsUniqueIndex(),
    ReindexBlocking(),
    TimestampInMiddle(),
    VacuumFull(),
    VacuumInTransaction(),
)
