"""`default=` of a new NOT NULL column → `server_default=`, which the database knows."""

from __future__ import annotations

import ast

from evolve.lint.fixes.columns import column_call
from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import site_at
from evolve.lint.fixes.source import Source, keyword
from evolve.lint.fixes.sql_words import only_statement
from evolve.lint.model import Finding
from evolve.sql import operations as op


def fix(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    added = only_statement(finding.sql or "")
    if not isinstance(added, op.AddColumn):
        message = "it is part of another statement"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    column = column_call(site.statement, added.column.name)
    given = keyword(column, "default")
    if given is None or keyword(column, "server_default") is not None:
        message = "its default is not written in the call"
        raise CannotFix(message)
    spelled = source.segment(given.value)
    match given.value:
        case ast.Constant(value=bool() as value) if added.column.type == "boolean":
            spelled = f'"{str(value).lower()}"'
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            spelled = f'"{value}"'
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            spelled = f'"-{value}"'
        case ast.Constant(value=str()) if _is_text(added.column.type):
            pass
        case _:
            message = "its default is no plain value: " + (finding.fix or "set one in the database")
            raise CannotFix(message)
    edit = Edit(source.start(given), source.end(given), f"server_default={spelled}")
    return Fix("Let the database know the default", (edit,))


def _is_text(type_: str) -> bool:
    return type_ == "text" or type_.startswith("character varying")
