"""VALIDATE CONSTRAINT in the transaction of a strong lock → at the end, in a transaction of its own."""

from __future__ import annotations

import ast

from evolve.lint.fixes.blocks import block_at_the_end, step_out
from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import acts, site_at
from evolve.lint.fixes.source import Source
from evolve.lint.fixes.sql_words import only_statement
from evolve.lint.fixes.statement import literal
from evolve.lint.fixes.surroundings import Way
from evolve.lint.model import Finding
from evolve.sql import operations as op


def fix(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    done = only_statement(finding.sql or "")
    if not isinstance(done, op.ValidateConstraint):
        message = finding.fix or "only a VALIDATE can wait until the rest is done"
        raise CannotFix(message)
    if not finding.safe:
        message = finding.fix or "the lock is that of another revision"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    literal(site.call)
    title = "Validate at the end, in a transaction of its own"
    later = [statement for statement in site.behind if acts(statement)]
    if not later:
        return Fix(title, step_out(site, Way()))
    for statement in later:
        if done.table.name in ast.unparse(statement) and "VALIDATE" not in ast.unparse(statement):
            message = f"what stands at line {statement.lineno} may need it: the two are phases"
            raise CannotFix(message)
    lines = source.lines(site.statement)
    start, end = source.line_start(lines.start), source.line_start(lines.stop)
    indentation = source.indentation(site.statement)
    moved = source.text[start:end].rstrip("\r\n")
    if source.within_text(lines):
        message = "its text spans lines"
        raise CannotFix(message)
    at_the_end = [line.removeprefix(indentation) for line in moved.replace("\r\n", "\n").split("\n")]
    return Fix(title, (Edit(start, end, ""), block_at_the_end(site, at_the_end)))
