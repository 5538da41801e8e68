"""`ADD VALUE` in the transaction that uses the value → in an autocommit block before."""

from __future__ import annotations

import ast

from evolve.lint.fixes.blocks import step_out
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import flat, operation, site_at
from evolve.lint.fixes.source import Source, text_of
from evolve.lint.fixes.sql_words import if_not_exists
from evolve.lint.fixes.statement import edit
from evolve.lint.fixes.surroundings import way_out
from evolve.lint.model import Finding
from evolve.sql import operations as op
from evolve.sql.parse import parse


def fix(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    using = site_at(source, finding.place.line)
    for statement in flat(using.before):
        match statement:
            case ast.Expr(value=ast.Call(args=[first, *_]) as call) if operation(call) == "execute":
                added = parse(text_of(first) or "")
            case _:
                continue
        match added:
            case (op.AddEnumValue(value=value),) if f'"{value}" was added' in finding.message:
                site = site_at(source, statement.lineno)
                way = way_out(site, (), plain=False)
                edits = edit(source, site.call, if_not_exists)
                return Fix("Add the value in a transaction of its own", step_out(site, way, edits=edits))
            case _:
                pass
    message = "the value is added in another revision, or not by a plain op.execute()"
    raise CannotFix(message)
