"""All rules that come with evolve, in the order of their ids: a new one is its file, its page and a line
here.

Families: 1xx blocks traffic · 2xx breaks running code · 3xx breaks new code on the old schema · 4xx loses
data · 5xx partitions · 6xx fails, or works otherwise than Alembic makes it look · 7xx guidelines, opt-in ·
8xx costs without use · 9xx could not be analysed, or is allowed in a way that does not work.
"""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.add_check_validated import AddCheckValidated
from evolve.lint.rules.add_column_required import AddColumnRequired
from evolve.lint.rules.add_column_volatile_default import AddColumnVolatileDefault
from evolve.lint.rules.add_fk_validated import AddFkValidated
from evolve.lint.rules.add_unique_building_index import AddUniqueBuildingIndex
from evolve.lint.rules.allow_expired import AllowExpired
from evolve.lint.rules.allow_unknown_rule import AllowUnknownRule
from evolve.lint.rules.allow_unreadable import AllowUnreadable
from evolve.lint.rules.allow_unused import AllowUnused
from evolve.lint.rules.allow_without_reason import AllowWithoutReason
from evolve.lint.rules.alter_type_rewrite import AlterTypeRewrite
from evolve.lint.rules.concurrently_in_transaction import ConcurrentlyInTransaction
from evolve.lint.rules.create_index_blocking import CreateIndexBlocking
from evolve.lint.rules.ddl_and_backfill_one_transaction import DdlAndBackfillOneTransaction
from evolve.lint.rules.do_block_opaque import DoBlockOpaque
from evolve.lint.rules.drop_column import DropColumn
from evolve.lint.rules.drop_index_blocking import DropIndexBlocking
from evolve.lint.rules.drop_table import DropTable
from evolve.lint.rules.enum_value_used_same_transaction import EnumValueUsedSameTransaction
from evolve.lint.rules.index_redundant import IndexRedundant
from evolve.lint.rules.missing_import import MissingImport
from evolve.lint.rules.rename_column import RenameColumn
from evolve.lint.rules.rename_table import RenameTable
from evolve.lint.rules.revision_not_loaded import RevisionNotLoaded
from evolve.lint.rules.revision_raised import RevisionRaised
from evolve.lint.rules.revision_reads_catalog import RevisionReadsCatalog
from evolve.lint.rules.revision_reads_rows import RevisionReadsRows
from evolve.lint.rules.revision_timed_out import RevisionTimedOut
from evolve.lint.rules.set_not_null_scan import SetNotNullScan
from evolve.lint.rules.unknown_operation import UnknownOperation
from evolve.lint.rules.unreached_operation import UnreachedOperation
from evolve.lint.rules.unread_statement import UnreadStatement
from evolve.lint.rules.validate_same_transaction import ValidateSameTransaction

ALL: tuple[Rule, ...] = (
    SetNotNullScan(),
    CreateIndexBlocking(),
    DropIndexBlocking(),
    AddFkValidated(),
    AddCheckValidated(),
    AddUniqueBuildingIndex(),
    ValidateSameTransaction(),
    AddColumnVolatileDefault(),
    AlterTypeRewrite(),
    DdlAndBackfillOneTransaction(),
    AddColumnRequired(),
    RenameColumn(),
    RenameTable(),
    DropColumn(),
    DropTable(),
    ConcurrentlyInTransaction(),
    EnumValueUsedSameTransaction(),
    IndexRedundant(),
    RevisionRaised(),
    RevisionReadsRows(),
    RevisionReadsCatalog(),
    MissingImport(),
    UnknownOperation(),
    UnreachedOperation(),
    RevisionTimedOut(),
    RevisionNotLoaded(),
    UnreadStatement(),
    DoBlockOpaque(),
    AllowWithoutReason(),
    AllowUnused(),
    AllowUnknownRule(),
    AllowExpired(),
    AllowUnreadable(),
)
