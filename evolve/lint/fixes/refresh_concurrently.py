"""`REFRESH MATERIALIZED VIEW` → CONCURRENTLY, where a unique index tells its rows apart."""

from __future__ import annotations

from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import site_at
from evolve.lint.fixes.source import Source
from evolve.lint.fixes.sql_words import concurrently
from evolve.lint.fixes.statement import edit
from evolve.lint.model import Finding


def fix(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    if not finding.safe:
        message = "CONCURRENTLY needs rows, and a unique index over columns without WHERE"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    return Fix("Refresh concurrently", tuple(edit(source, site.call, concurrently)))
