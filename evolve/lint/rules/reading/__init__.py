"""Rules that tell what could not be read or is known only in part."""

from __future__ import annotations

from evolve.lint.rule import Rule
from evolve.lint.rules.reading.do_block_opaque import DoBlockOpaque
from evolve.lint.rules.reading.missing_import import MissingImport
from evolve.lint.rules.reading.revision_not_loaded import RevisionNotLoaded
from evolve.lint.rules.reading.revision_raised import RevisionRaised
from evolve.lint.rules.reading.revision_reads_catalog import RevisionReadsCatalog
from evolve.lint.rules.reading.revision_reads_rows import RevisionReadsRows
from evolve.lint.rules.reading.revision_timed_out import RevisionTimedOut
from evolve.lint.rules.reading.side_effect import SideEffect
from evolve.lint.rules.reading.unknown_function import UnknownFunction
from evolve.lint.rules.reading.unknown_operation import UnknownOperation
from evolve.lint.rules.reading.unreached_operation import UnreachedOperation
from evolve.lint.rules.reading.unread_statement import UnreadStatement

RULES: tuple[Rule, ...] = (
    DoBlockOpaque(),
    MissingImport(),
    RevisionNotLoaded(),
    RevisionRaised(),
    RevisionReadsCatalog(),
    RevisionReadsRows(),
    RevisionTimedOut(),
    SideEffect(),
    UnknownFunction(),
    UnknownOperation(),
    UnreachedOperation(),
    UnreadStatement(),
)
