"""The `sa.Column(…)` of an operation."""

from __future__ import annotations

import ast

from evolve.lint.fixes.fix import CannotFix
from evolve.lint.fixes.source import text_of


def column_call(within: ast.AST, name: str) -> ast.Call:
    """
    Raises:
        CannotFix: the column is not written out there.
    """
    found = [
        node
        for node in ast.walk(within)
        if isinstance(node, ast.Call)
        and (getattr(node.func, "attr", None) or getattr(node.func, "id", None)) == "Column"
        and node.args
        and text_of(node.args[0]) == name
    ]
    if len(found) != 1:
        message = "its sa.Column(…) is not written out in the call"
        raise CannotFix(message)
    return found[0]
