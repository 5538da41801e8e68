"""The text of a revision beside its syntax tree: where statements, calls and arguments stand in it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix

_LINE_END = re.compile(r"\r\n|\r|\n")
_COMMENT = re.compile(r"[ \t]*#(?! ###)[^\r\n]*")


class Source:
    """
    Args:
        text: as Python decodes the file, without its byte order mark and with its line ends as they are.
    """

    def __init__(self, text: str) -> None:
        """
        Raises:
            CannotFix: it is no Python.
        """
        self.text = text
        try:
            self.tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            message = "the file does not parse"
            raise CannotFix(message) from error
        ends = [found.end() for found in _LINE_END.finditer(text)]
        self._starts = [0, *ends]

    @cached_property
    def modules(self) -> frozenset[str]:
        """The names under which the file knows `alembic.op`."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            match node:
                case ast.ImportFrom(module="alembic", names=names):
                    found.update(each.asname or each.name for each in names if each.name == "op")
                case ast.Import(names=names):  # import alembic.op as op
                    found.update(each.asname for each in names if each.name == "alembic.op" and each.asname)
                case _:
                    pass
        return frozenset(found)

    @cached_property
    def newline(self) -> str:
        found = _LINE_END.search(self.text)
        return found.group() if found else "\n"

    # -- places ------------------------------------------------------------------------------------------------
    def line_start(self, line: int) -> int:
        """Where the line begins; lines count from 1. The end of the text where there is no such line."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def line(self, number: int) -> str:
        """With its end."""
        return self.text[self.line_start(number) : self.line_start(number + 1)]

    def offset(self, line: int, column: int) -> int:
        """`column` counts bytes of UTF-8, as the syntax tree has it."""
        start = self.line_start(line)
        return start + len(self.line(line).encode()[:column].decode())

    def start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        return self.offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)

    def segment(self, node: ast.expr | ast.stmt | ast.keyword) -> str:
        return self.text[self.start(node) : self.end(node)]

    # -- statements --------------------------------------------------------------------------------------------
    def indentation(self, statement: ast.stmt) -> str:
        return self.text[self.line_start(statement.lineno) : self.start(statement)]

    def lines(self, statement: ast.stmt) -> range:
        """Of a statement that has its lines to itself, with the comments just above that belong to it.

        Raises:
            CannotFix: it shares a line with another one.
        """
        last = statement.end_lineno or statement.lineno
        before, behind = (
            self.indentation(statement),
            self.text[self.end(statement) : self.line_start(last + 1)],
        )
        if before.strip() or (behind.strip() and not behind.lstrip().startswith("#")):
            message = "it shares a line with another statement"
            raise CannotFix(message)
        first = statement.lineno
        while first > 1 and self._is_comment(first - 1, before):
            first -= 1
        return range(first, last + 1)

    def _is_comment(self, number: int, indentation: str) -> bool:
        line = self.line(number)
        return _COMMENT.match(line) is not None and line[: len(line) - len(line.lstrip(" \t"))] == indentation

    def within_text(self, lines: range) -> frozenset[int]:
        """Those of `lines` that begin inside a string, so that to indent them would change it."""
        return frozenset(number for number in lines if number in self._string_lines)

    def comments(self, statement: ast.stmt) -> list[str]:
        """Those on its lines, inside it and behind."""
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        return [
            token.string
            for token in self._tokens
            if token.type == tokenize.COMMENT and token.start[0] in lines
        ]

    @cached_property
    def _tokens(self) -> tuple[tokenize.TokenInfo, ...]:
        return tuple(tokenize.generate_tokens(io.StringIO(self.text, newline="").readline))

    @cached_property
    def _string_lines(self) -> frozenset[int]:
        found: set[int] = set()
        opened: list[int] = []
        for token in self._tokens:
            name = tokenize.tok_name[token.type]
            if name == "FSTRING_START":
                opened.append(token.start[0])
            elif name == "FSTRING_END":
                found.update(range(opened.pop() + 1, token.end[0] + 1))
            elif token.type == tokenize.STRING:
                found.update(range(token.start[0] + 1, token.end[0] + 1))
        return frozenset(found)

    # -- arguments ---------------------------------------------------------------------------------------------
    def add_keyword(self, call: ast.Call, name: str, value: str = "True") -> Iterator[Edit]:
        """`name=value` behind the last argument, in the layout that the call has.

        Raises:
            CannotFix: the call says something else of `name`, or takes what is not written there.
        """
        given = keyword(call, name)
        if given is not None:
            if ast.unparse(given.value) == value:
                return
            message = f"it says {ast.unparse(given)}"
            raise CannotFix(message)
        if any(each.arg is None for each in call.keywords) or any(
            isinstance(each, ast.Starred) for each in call.args
        ):
            message = "its arguments are not all written out"
            raise CannotFix(message)
        arguments: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
        last = max(arguments, key=self.end)
        close = self.end(call) - 1
        base, comma = self._behind(last, close)
        close_line = self._line_of(close)
        line_start = self.line_start(close_line)
        if self._line_of(base) < close_line and not self.text[line_start:close].strip():
            first = self._line_of(self.start(last))
            head = self.text[self.line_start(first) : self.start(last)]
            indentation = head[: len(head) - len(head.lstrip(" \t"))]
            if comma is None:
                yield Edit(base, base, ",")
            ending = "," if comma is not None else ""
            # At the end of the line before: whoever indents the lines of the call finds the new one in the edit.
            end = line_start - len(self.line(close_line - 1)) + len(self.line(close_line - 1).rstrip("\r\n"))
            yield Edit(end, end, f"{self.newline}{indentation}{name}={value}{ending}")
        elif comma is not None:
            yield Edit(comma + 1, comma + 1, f" {name}={value}")
        else:
            yield Edit(base, base, f", {name}={value}")

    def remove_argument(self, call: ast.Call, argument: ast.expr | ast.keyword) -> Edit:
        """Without an argument that is not the first.

        Raises:
            CannotFix: a comment stands in the way.
        """
        arguments: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
        arguments.sort(key=self.start)
        before = arguments[arguments.index(argument) - 1]
        start = self._behind(before, self.start(argument))[0]
        end = self._behind(argument, self.end(call) - 1)[0]
        if "#" in self.text[start:end]:
            message = "a comment stands between its arguments"
            raise CannotFix(message)
        return Edit(start, end, "")

    def _behind(self, argument: ast.expr | ast.keyword, close: int) -> tuple[int, int | None]:
        """The end of an argument, parentheses round it counted, and where the comma behind it stands."""
        at = base = self.end(argument)
        while at < close:
            if self.text[at] == "#":
                at = self.line_start(self._line_of(at) + 1)
                continue
            if self.text[at] == ",":
                return base, at
            if self.text[at] == ")":
                base = at + 1
            at += 1
        return base, None

    def _line_of(self, offset: int) -> int:
        return bisect_right(self._starts, offset)


def keyword(call: ast.Call, name: str) -> ast.keyword | None:
    return next((each for each in call.keywords if each.arg == name), None)


def text_of(node: ast.expr | None) -> str | None:
    """What a string literal says; None for any other expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
