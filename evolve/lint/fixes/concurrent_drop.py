"""`DROP INDEX` → CONCURRENTLY in an autocommit block."""

from __future__ import annotations

from evolve.lint.fixes.blocks import step_out
from evolve.lint.fixes.concurrent_index import batch
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import acts, operation, site_at
from evolve.lint.fixes.source import Source
from evolve.lint.fixes.sql_words import concurrently, only_statement
from evolve.lint.fixes.statement import edit, is_sql
from evolve.lint.fixes.surroundings import way_out
from evolve.lint.model import Finding
from evolve.sql import operations as op


def fix(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    dropped = only_statement(finding.sql or "")
    if not isinstance(dropped, op.DropIndex) or dropped.cascade:
        message = "what the server gets is no plain DROP INDEX"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    title = "Drop the index concurrently"
    if site.batch is not None:
        return Fix(title, batch(site, dropped.index.schema))
    way = way_out(site, (dropped.index.name,), plain=False)
    repeated = any(map(acts, site.behind)) and not dropped.if_exists
    if is_sql(site.call):
        if repeated:
            message = "it could not be dropped again after a failure further down: say IF EXISTS, or move it to the end"
            raise CannotFix(message)
        edits = edit(source, site.call, concurrently)
    elif operation(site.call) == "drop_index":
        edits = list(source.add_keyword(site.call, "postgresql_concurrently"))
        if repeated:
            edits += source.add_keyword(site.call, "if_exists")
    else:
        message = "another operation drops the index"
        raise CannotFix(message)
    return Fix(title, step_out(site, way, edits=edits))
