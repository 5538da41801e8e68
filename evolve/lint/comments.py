"""Comments that begin with `evolve:`, in revisions, in files of SQL, and in SQL that a revision sends.

    # evolve: allow[set-not-null-scan] because the table holds twelve rows
    # evolve: allow[drop-column, drop-table] until 2026-12-31 because release 41 no longer maps them
    # evolve: allow-file[create-index-blocking] because this database is filled at night only

A comment speaks for the line it stands on; alone on its line, for the next one. A call over several lines is
one line. In SQL such comments begin with two dashes, and a statement is one line; so it is in the text of
`op.execute("…")` too, where `allow-file` speaks for that text.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from evolve.sql.script import comments, pieces
from evolve.sql.steps import CapturedStatement, Place
from evolve.values import dataclass

_BEGIN = re.compile(r"(?:#+|--|/\*)\s*(?:evolve:|(?i:evolve)\s*:(?=\s*(?i:allow)))\s*")
_ALLOW = re.compile(
    r"(?P<scope>allow|allow-file)\s*\[(?P<names>[^\]]*)\]"
    r"(?:\s+until\s+(?P<until>[^\s,;]+)[,;]?)?"
    r"(?:\s+because\b[\s:,]*(?P<reason>.*?)(?:,?\s+until\s+(?P<late>\d{4}-\d\d-\d\d)[.]?)?)?\Z",
    re.IGNORECASE,
)
# What may follow a reason in Python: a comment for another tool.
_NEXT_COMMENT = re.compile(r"\s+#(?=\s|noqa\b|type:|pragma:|nosec\b|pylint:|fmt:).*\Z")
_GATE = re.compile(r"gate\b")
_PUNCTUATION = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """One name of one comment.

    Args:
        lines: those it speaks for; None is the whole file, or all of `sent`. They are lines of `sent` where that
            is given, else of the file.
        reason: empty where the comment gives none.
        until: the last day on which it holds.
        sent: the SQL that the comment stands in, where a revision sends it.
    """

    name: str
    place: Place
    lines: range | None
    reason: str
    until: date | None = None
    sent: CapturedStatement | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A comment that begins as ours do and says nothing we know; `problem` says what is wrong, if that is plain."""

    place: Place
    text: str
    problem: str = ""


def read_comments(
    file: Path, source: str, sent: Iterable[CapturedStatement] = ()
) -> Iterator[Allowance | Unreadable]:
    """Every comment of ours in `source` and in what the file sends, one item for each name; strings are none.

    Args:
        source: the text of `file`, of which the suffix tells whether it is Python or SQL.
        sent: the statements of the revision in the file; SQL files hold theirs.
    """
    for place, text, lines in _comments(file, source):
        yield from _said(text, place, lines, None)
    if file.suffix == ".py":
        # A loop sends the same text again.
        for statement in {(s.place, s.sql): s for s in sent if "evolve" in s.sql.lower()}.values():
            for comment_text, line, lines in _sql_comments(statement.sql):
                place = _found_in(source, comment_text, statement.place) or statement.place
                yield from _said(comment_text, place, lines or range(line, line + 1), statement)


def lines_of_downgrades(source: str) -> tuple[range, ...]:
    """The lines of each `downgrade()`; none where the text is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("downgrade")
    )


def _said(
    text: str, place: Place, lines: range, sent: CapturedStatement | None
) -> Iterator[Allowance | Unreadable]:
    """What one comment says, which may be several things: "# evolve: … # evolve: …"."""
    for part in _BEGIN.split(text)[1:]:
        words = (part if sent or place.file.suffix != ".py" else _NEXT_COMMENT.sub("", part)).strip()
        if not _GATE.match(words):
            yield from _read(words, place, lines, sent)


def _read(
    text: str, place: Place, lines: range, sent: CapturedStatement | None
) -> Iterator[Allowance | Unreadable]:
    match = _ALLOW.match(text)
    names = [name.strip() for name in match["names"].split(",") if name.strip()] if match else []
    if match is None or not names:
        yield Unreadable(place, text, "it names no rule" if match else "")
        return
    day = match["until"] or match["late"]
    try:
        until = date.fromisoformat(day) if day else None
    except ValueError:
        yield Unreadable(place, text, f'"{day}" is no day such as 2026-12-31')
        return
    reason = (match["reason"] or "").strip()
    for name in dict.fromkeys(names):
        yield Allowance(
            name,
            place,
            lines if match["scope"].lower() == "allow" else None,
            # "because …", copied from a message, says nothing.
            reason if any(map(str.isalnum, reason)) else "",
            until,
            sent,
        )


def _comments(file: Path, source: str) -> Iterator[tuple[Place, str, range]]:
    """Each of our comments with the lines of the statement that it stands in, behind, or above."""
    if "evolve" not in source.lower():
        return  # to read tokens takes longer than everything else
    if file.suffix == ".py":
        yield from _python_comments(file, source)
    else:
        for text, line, lines in _sql_comments(source):
            yield Place(file, line), text, lines


def _sql_comments(source: str) -> Iterator[tuple[str, int, range]]:
    """Text, line, and the lines of the statement that is meant."""
    statements = [range(piece.first_line, piece.last_line + 1) for piece in pieces(source)]
    for comment in comments(source):
        text = f"--{comment.text}"
        if not _BEGIN.match(text):
            continue
        spoken_for = (lines for lines in statements if comment.line < lines.stop)
        if not comment.above:
            spoken_for = (lines for lines in statements if comment.line in lines)
        yield text, comment.line, next(spoken_for, range(comment.line, comment.line + 1))


def _python_comments(file: Path, source: str) -> Iterator[tuple[Place, str, range]]:
    waiting: list[tuple[Place, str]] = []
    start: int | None = None
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                alone = not token.line[: token.start[1]].strip()
                # Code that is commented out keeps the comments behind it, which mean nothing any more.
                found = _BEGIN.match(token.string) if alone else _BEGIN.search(token.string)
                if found:
                    waiting.append((Place(file, token.start[0]), token.string[found.start() :]))
            elif token.type == tokenize.NEWLINE:
                first, start = start or token.start[0], None
                # A comment inside the call, behind it, or on the lines just above it.
                lines = range(first, token.start[0] + 1)
                yield from ((place, text, lines) for place, text in waiting)
                waiting = []
            elif start is None and token.type not in _PUNCTUATION:
                start = token.start[0]
    except (tokenize.TokenError, SyntaxError):
        pass  # the file does not load either, and that is a finding of its own
    yield from ((place, text, range(place.line, place.line + 1)) for place, text in waiting)


def _found_in(source: str, text: str, sent: Place) -> Place | None:
    """Where the comment `text` of what is sent at `sent` stands; None where the file puts it together."""
    words = text.removeprefix("--").strip()
    lines = [number for number, line in enumerate(source.splitlines(), 1) if words in line]
    at = next((line for line in lines if line >= sent.line), lines[0] if lines else None)
    return Place(sent.file, at) if at is not None else None
