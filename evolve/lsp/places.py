"""Where in the text of a revision the statement stands that a finding is about."""

from __future__ import annotations

import ast
import re

from evolve.lint.fixes.fix import CannotFix
from evolve.lint.fixes.source import Source
from evolve.lsp.messages import Change
from evolve.values import dataclass

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of a text, from `start` up to `end`."""

    start: int
    end: int


class Places:
    """
    Args:
        text: as the editor has it, without a byte order mark.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [Span(found.start(), found.end()) for found in _LINE.finditer(text)]
        try:
            self._source: Source | None = Source(text)
        except CannotFix:
            self._source = None

    def of(self, line: int) -> Span:
        """The code that stands at `line`, which counts from 1: a whole statement, or what there is in the line."""
        statements = self._statements(line)
        if statements and self._source is not None:
            return Span(min(map(self._source.start, statements)), max(map(self._source.end, statements)))
        span = self._lines[min(max(line, 1), len(self._lines)) - 1]
        code = self._text[span.start : span.end]
        start = span.start + len(code) - len(code.lstrip())
        return Span(min(start, span.start + len(code.rstrip())), span.start + len(code.rstrip()))

    def comment_above(self, line: int, comment: str) -> Change | None:
        """A line of its own for `comment` above the statement at `line`; None where there is no room for one."""
        statements = self._statements(line)
        if not statements or self._source is None:
            return None
        first = min(statements, key=self._source.start)
        indentation = self._source.indentation(first)
        if indentation.strip():
            return None
        at = self._source.line_start(first.lineno)
        return Change(at, at, f"{indentation}{comment}{self._source.newline}")

    def _statements(self, line: int) -> list[ast.stmt]:
        """Those that `line` is a part of and that hold no others: one, unless several share the line."""
        if self._source is None:
            return []
        return [
            node
            for node in ast.walk(self._source.tree)
            if isinstance(node, ast.stmt)
            and not hasattr(node, "body")
            and node.lineno <= line <= (node.end_lineno or node.lineno)
        ]
