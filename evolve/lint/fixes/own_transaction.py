"""What PostgreSQL refuses in a transaction, and `REINDEX` → in an autocommit block."""

from __future__ import annotations

from dataclasses import replace

from evolve.lint.fixes.blocks import lines_of, step_out
from evolve.lint.fixes.concurrent_index import batch, drop_if_exists, index_name
from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import Site, acts, operation, site_at
from evolve.lint.fixes.source import Source, keyword
from evolve.lint.fixes.sql_words import concurrently, only_statement, without_if_not_exists
from evolve.lint.fixes.statement import edit, is_sql
from evolve.lint.fixes.surroundings import is_commit, way_out
from evolve.lint.model import Finding
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName


def reindex(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    if not finding.safe:
        message = "PostgreSQL refuses it CONCURRENTLY"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    edits = edit(source, site.call, concurrently)
    return Fix("Reindex concurrently", step_out(site, way_out(site, (), plain=False), edits=edits))


def refused_inside(finding: Finding, source: Source) -> Fix:
    """CONCURRENTLY and VACUUM, which fail in a transaction.

    Raises:
        CannotFix: it is not sure.
    """
    if not finding.safe:
        message = "there is no way in which it blocks nobody"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    title = "Step out of the transaction"
    done = only_statement(finding.sql or "")
    if site.autocommit:
        message = "it stands in an autocommit block already"
        raise CannotFix(message)
    if site.batch is not None and isinstance(done, op.CreateIndex | op.DropIndex):
        schema = done.table.schema if isinstance(done, op.CreateIndex) else done.index.schema
        return Fix(title, batch(site, schema))
    before = site.body[site.index - 1] if site.index else None
    commit = before if before is not None and is_commit(before) else None
    way = way_out(site, (), plain=False, without=commit)
    if commit is not None:  # the block does better what it was for
        gone = Edit(source.line_start(commit.lineno), source.line_start(source.lines(commit).stop), "")
        way = replace(way, edits=(*way.edits, gone))
    behind = any(map(acts, site.behind))
    match done:
        case op.CreateIndex(index, if_not_exists=if_not_exists):
            edits = _plain(site) if if_not_exists else []
            renewed = way.company or if_not_exists
            return Fix(
                title, step_out(site, way, edits=edits, first=_leftover(site, index) if renewed else ())
            )
        case op.DropIndex(if_exists=False) if behind:
            if is_sql(site.call):
                message = "it could not be dropped again after a failure further down: say IF EXISTS"
                raise CannotFix(message)
            return Fix(title, step_out(site, way, edits=list(source.add_keyword(site.call, "if_exists"))))
        case op.DetachPartition() if way.company:
            message = "it could not be done again after a failure: give it a revision of its own"
            raise CannotFix(message)
        case _:
            return Fix(title, step_out(site, way))


def leftover(finding: Finding, source: Source) -> Fix:
    """A concurrent build: drop first what a failed one may have left, and do not take that for the index.

    Raises:
        CannotFix: it is not sure.
    """
    site = site_at(source, finding.place.line)
    built = only_statement(finding.sql or "")
    if not isinstance(built, op.CreateIndex) or not site.autocommit or site.batch is not None:
        message = "it is no single CREATE INDEX in an autocommit block"
        raise CannotFix(message)
    edits = _plain(site) if built.if_not_exists else []
    way = way_out(site, (), plain=False)
    return Fix(
        "Drop what a failed build left behind, then build",
        step_out(site, way, edits=edits, first=_leftover(site, built.index)),
    )


def _plain(site: Site) -> list[Edit]:
    """Without IF NOT EXISTS."""
    call = site.call
    if is_sql(call):
        return _without_words(site)
    given = keyword(call, "if_not_exists")
    if operation(call) != "create_index" or given is None:
        message = "it cannot be told where its IF NOT EXISTS comes from"
        raise CannotFix(message)
    return [site.source.remove_argument(call, given)]


def _without_words(site: Site) -> list[Edit]:
    return edit(site.source, site.call, without_if_not_exists)


def _leftover(site: Site, index: op.IndexDefinition) -> list[str]:
    if index.name is None or not (is_sql(site.call) or index_name(site.call)):
        message = "the index has no name by which what a failed build leaves behind could be dropped"
        raise CannotFix(message)
    return lines_of(site, drop_if_exists(QualifiedName(index.name, index.table.schema)))
