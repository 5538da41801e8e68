"""Where one SQL statement ends and the next begins, and which words it starts with; no grammar beyond quoting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

_PIECE = r"""
      (?P<line_comment>--[^\n]*)
    | (?P<comment>/\*)
    | (?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<string>'(?:[^']|'')*(?:'|\Z))
    | (?P<name>"(?:[^"]|"")*(?:"|\Z))
    | (?P<dollar>(?<![\w$])\$(?:[A-Za-z_\x80-\U0010ffff][\w]*)?\$)
    | (?P<end>;)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<comma>,)
    | (?P<word>[A-Za-z_][\w$]*)
    """
_WORD = re.compile(r"[A-Za-z_][\w$]*(?!['\w$])")  # not the E of a string
_COMMENT_EDGE = re.compile(r"/\*|\*/")


@cache
def _token() -> re.Pattern[str]:
    """Compiled when it is needed: that takes as long as many revisions, and most statements begin with a plain word."""
    return re.compile(_PIECE, re.VERBOSE | re.DOTALL)


def _tokens(sql: str) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of each token that matters, comments left out."""
    at, token = 0, _token()
    while (found := token.search(sql, at)) is not None:
        kind, start, at = found.lastgroup or "", found.start(), found.end()
        if kind == "comment":
            depth = 1
            while depth and (edge := _COMMENT_EDGE.search(sql, at)) is not None:
                depth += 1 if edge.group() == "/*" else -1
                at = edge.end()
            at = at if depth == 0 else len(sql)
        elif kind == "dollar":
            close = sql.find(found.group(), at)
            at = len(sql) if close < 0 else close + len(found.group())
            yield "string", start, at
        elif kind != "line_comment":
            yield ("string" if kind == "escaped" else kind), start, at


def split(sql: str) -> list[str]:
    """The statements of `sql` without their semicolons; a piece of comments and blanks only is no statement.

    The body of a function in SQL-standard form (BEGIN ATOMIC … END) stays one statement.
    """
    if ";" not in sql and (whole := sql.strip())[:1].isalpha():
        return [whole]  # nearly every statement that Alembic sends
    pieces: list[str] = []
    start, filled, depth, atomic = 0, False, 0, 0
    previous = ""
    for kind, begin, end in _tokens(sql):
        if kind == "end" and depth == 0 and atomic == 0:
            if filled:
                pieces.append(sql[start:begin].strip())
            start, filled, previous = end, False, ""
            continue
        filled = True
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(depth - 1, 0)
        elif kind == "word":
            word = sql[begin:end].upper()
            if word == "ATOMIC" and previous == "BEGIN":
                atomic = 1
            elif atomic and word == "CASE":
                atomic += 1
            elif atomic and word == "END":
                atomic -= 1
            previous = word
    if filled:
        pieces.append(sql[start:].strip())
    return pieces


def leading_word(sql: str) -> str | None:
    """The first word in capitals, where the text begins with one: `words` without looking at the rest."""
    found = _WORD.match(sql)
    return found.group().upper() if found is not None else None


def words(sql: str, count: int = 3) -> list[str]:
    """The first words outside brackets and quotes, in capitals."""
    found: list[str] = []
    for kind, begin, end in _tokens(sql):
        if kind == "word":
            found.append(sql[begin:end].upper())
            if len(found) == count:
                break
        elif kind == "end":
            break
    return found


def outer_words(sql: str) -> list[str]:
    """All words at depth 0, in capitals: clauses of the statement itself, not of its subqueries."""
    depth = 0
    found: list[str] = []
    for kind, begin, end in _tokens(sql):
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif kind == "word" and depth == 0:
            found.append(sql[begin:end].upper())
    return found


def outer_list(sql: str, after: str, before: frozenset[str]) -> list[str]:
    """The comma-separated expressions between the word `after` and any word of `before`, at depth 0."""
    depth, start = 0, -1
    items: list[str] = []
    for kind, begin, end in _tokens(sql):
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif depth:
            continue
        elif kind == "word":
            word = sql[begin:end].upper()
            if start < 0 and word == after:
                start = end
            elif start >= 0 and word in before:
                items.append(sql[start:begin].strip())
                return [item for item in items if item]
        elif kind == "comma" and start >= 0:
            items.append(sql[start:begin].strip())
            start = end
        elif kind == "end":
            break
    if start >= 0:
        items.append(sql[start:].strip().rstrip(";").strip())
    return [item for item in items if item]
