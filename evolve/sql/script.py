"""From a file of plain SQL, such as psql runs, to its statements with their lines and transactions."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from evolve.sql.operations import TransactionControl
from evolve.sql.parse import parse, tokens
from evolve.sql.steps import CapturedStatement, Mark, Place, Recording, Remark
from evolve.sql.undone import Undoing
from evolve.values import dataclass

_COPY_DATA = re.compile(
    r"(?P<head>^[ \t]*COPY\b[^;]*?\bFROM\s+STDIN\b[^;]*;[^\n]*\n)(?P<rows>.*?^\\\.[ \t]*$)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_PSQL_COMMAND = re.compile(r"^\\[a-z!?][^\n]*", re.MULTILINE)
_NOT_A_LINE_END = re.compile(r"[^\n]")


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement of a script, without its semicolon; lines count from 1."""

    sql: str
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment without its dashes, or /* and */; `above` is True where nothing else stands on its lines."""

    text: str
    line: int
    above: bool


def read_script(
    text: str, file: Path, *, in_transaction: bool = False, first_transaction: int = 0
) -> Recording:
    """The script as if it were a revision, under the file's path.

    BEGIN and COMMIT are what tells the transactions, and are no statements of the recording. Each statement outside
    them commits on its own. Rows of COPY are skipped; commands of psql are remarks. What ROLLBACK takes back is marked.

    Args:
        in_transaction: whoever runs the file puts all of it into one transaction.
        first_transaction: the least number of its transactions, above those of scripts before it.
    """
    remarks = [
        Remark(Mark.UNKNOWN_OPERATION, Place(file, _line(text, found.start())), found.group().strip())
        for found in _PSQL_COMMAND.finditer(_COPY_DATA.sub(_blank_rows, text))
    ]
    undoing = Undoing()
    transaction, is_open = first_transaction, in_transaction
    for piece in pieces(text):
        match parse(piece.sql):
            case (TransactionControl(action="begin"),):
                transaction, is_open = transaction + 1, True
                undoing.begin()
            case (TransactionControl(action="commit" | "rollback" as action),) if is_open:
                is_open = in_transaction
                transaction += 1
                undoing.end(undone=action == "rollback")
            case operations:
                place = Place(file, piece.first_line)
                number = transaction if is_open else None
                match operations:
                    case (TransactionControl(action="savepoint"),):
                        undoing.savepoint(piece.sql)
                    case (TransactionControl(action="release"),):
                        undoing.release(piece.sql)
                    case (TransactionControl(action="rollback to"),):
                        undoing.rollback_to(piece.sql)
                    case _:
                        pass
                undoing.captured.append(CapturedStatement(piece.sql, place, number))
    return Recording(str(file), (), file, tuple(undoing.captured), tuple(remarks))


def pieces(text: str) -> Iterator[Piece]:
    """The statements of `text`; a text that cannot be cut into words comes back whole."""
    cleaned = _cleaned(text)
    raw = cleaned.encode("utf-8", "surrogateescape")
    ends = _line_ends(raw)
    start: int | None = None
    end, depth, atomic, previous = 0, 0, 0, ""
    for kind, begin, stop in tokens(cleaned):
        if kind in ("SQL_COMMENT", "C_COMMENT"):
            continue
        if kind == "ASCII_59" and not depth and not atomic:
            if start is not None:
                yield _piece(raw, ends, start, end)
            start, previous = None, ""
            continue
        start = begin if start is None else start
        end = stop
        depth += (kind == "ASCII_40") - (kind == "ASCII_41")
        # The body of a function in SQL-standard form holds semicolons of its own.
        if atomic:
            atomic += (kind == "CASE") - (kind == "END_P")
        elif kind == "ATOMIC" and previous == "BEGIN_P":
            atomic = 1
        previous = kind
    if start is not None:
        yield _piece(raw, ends, start, end)


def comments(text: str) -> Iterator[Comment]:
    """All comments, in their order."""
    cleaned = _cleaned(text)
    raw = cleaned.encode("utf-8", "surrogateescape")
    ends = _line_ends(raw)
    for kind, begin, end in tokens(cleaned):
        if kind in ("SQL_COMMENT", "C_COMMENT"):
            before = raw[raw.rfind(b"\n", 0, begin) + 1 : begin]
            behind = raw[end:].partition(b"\n")[0] if kind == "C_COMMENT" else b""
            words = raw[begin:end].decode("utf-8", "surrogateescape")
            words = words.removeprefix("--").removeprefix("/*").removesuffix("*/").strip()
            yield Comment(words, bisect_left(ends, begin) + 1, not (before + behind).strip())


def _cleaned(text: str) -> str:
    """`text` with as many blanks for what only psql reads."""
    return _PSQL_COMMAND.sub(_blanks, _COPY_DATA.sub(_blank_rows, text))


def _piece(raw: bytes, ends: Sequence[int], start: int, end: int) -> Piece:
    sql = raw[start:end].decode("utf-8", "surrogateescape")
    first = bisect_left(ends, start) + 1
    return Piece(sql, first, first + sql.count("\n"))


def _line_ends(raw: bytes) -> Sequence[int]:
    """Where lines end: to count them anew for each statement takes minutes in a dump."""
    return [found.start() for found in re.finditer(b"\n", raw)]


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _blanks(found: re.Match[str]) -> str:
    return _NOT_A_LINE_END.sub(" ", found.group())


def _blank_rows(found: re.Match[str]) -> str:
    return found["head"] + _NOT_A_LINE_END.sub(" ", found["rows"])
