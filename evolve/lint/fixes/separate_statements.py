"""One statement of several clauses → several statements."""

from __future__ import annotations

from evolve.lint.fixes.blocks import lines_of
from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import site_at
from evolve.lint.fixes.source import Source
from evolve.lint.fixes.statement import literal
from evolve.lint.model import Finding


def fix(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    if len(finding.safe) != 1:
        message = "its statement does more than that"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    if literal(site.call) is None or site.batch is not None:
        message = "its SQL is not written as one literal"
        raise CannotFix(message)
    source.lines(site.statement)
    if "#" in source.segment(site.statement):
        message = "a comment stands in it"
        raise CannotFix(message)
    indentation = source.indentation(site.statement)
    lines = lines_of(site, finding.safe[0])
    text = f"{source.newline}{indentation}".join(lines)
    return Fix(
        "Write two statements", (Edit(source.start(site.statement), source.end(site.statement), text),)
    )
