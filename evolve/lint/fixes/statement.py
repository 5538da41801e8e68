"""The SQL that a call writes out as a literal: `op.execute("…")`, with or without `sa.text`."""

from __future__ import annotations

import ast
from collections.abc import Callable

from evolve.lint.fixes.edits import Edit, apply
from evolve.lint.fixes.fix import CannotFix
from evolve.lint.fixes.site import operation
from evolve.lint.fixes.source import Source, text_of
from evolve.lint.fixes.sql_words import checked, not_valid, shifted


def literal(call: ast.Call) -> ast.expr:
    """
    Raises:
        CannotFix: its text is made while it runs.
    """
    argument = call.args[0] if call.args else None
    match argument:
        case ast.Call(func=ast.Attribute(attr="text") | ast.Name(id="text"), args=[inner]):
            argument = inner
        case _:
            pass
    if argument is None or text_of(argument) is None:
        message = "its SQL is not written as one literal"
        raise CannotFix(message)
    return argument


def is_sql(call: ast.Call) -> bool:
    return operation(call) == "execute"


def edit(source: Source, call: ast.Call, words: Callable[[str], list[Edit]]) -> list[Edit]:
    """Put `words` into the literal as it is spelled.

    Raises:
        CannotFix: the spelling, with its quotes and escapes, says something else then.
    """
    node = literal(call)
    said = text_of(node) or ""
    spelled = source.segment(node)
    wanted = checked(said, words)
    if words is not_valid:  # before the closing quotes
        quotes = 3 if spelled.endswith(('"""', "'''")) else 1
        inner = words(spelled[:-quotes])
    else:
        inner = words(spelled)
    if _value(apply(spelled, inner)) != wanted:
        message = "its SQL is spelled so that it cannot be changed in place"
        raise CannotFix(message)
    return list(shifted(inner, source.start(node)))


def _value(spelled: str) -> object:
    try:
        return ast.literal_eval(f"({spelled})")
    except (SyntaxError, ValueError):
        return None
