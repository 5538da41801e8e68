"""The fixes for a file of plain SQL, whose statements each commit on their own."""

from __future__ import annotations

from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.sql_words import checked, concurrently, not_valid, only_statement, shifted
from evolve.lint.model import Finding
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse
from evolve.sql.script import Piece, pieces

_CONCURRENT = ("EV102", "EV103", "EV134", "EV155")
_NOT_VALID = ("EV104", "EV105")


def fix(finding: Finding, text: str) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    if finding.rule not in (*_CONCURRENT, *_NOT_VALID):
        message = "in a file of SQL only CONCURRENTLY and NOT VALID are put in"
        raise CannotFix(message)
    found = list(pieces(text))
    piece = next((each for each in found if each.first_line == finding.place.line), None)
    if piece is None or _one_line_end(piece.sql) != _one_line_end(finding.sql or ""):
        message = "it shares its line with another statement"
        raise CannotFix(message)
    before = found[: found.index(piece)]
    if _open(before):
        message = "it stands between BEGIN and COMMIT"
        raise CannotFix(message)
    start = _offset(text, piece)
    if finding.rule in _NOT_VALID:
        if len(finding.safe) != 2:
            message = "it is added with its column, in one statement"
            raise CannotFix(message)
        checked(piece.sql, not_valid)
        end = start + len(piece.sql)
        validate = finding.safe[1].strip().removesuffix(";")
        newline = "\r\n" if "\r\n" in text else "\n"
        edits = [*shifted(not_valid(piece.sql), start), Edit(end, end, f";{newline}{validate}")]
        return Fix("Add it NOT VALID, and validate it in a transaction of its own", tuple(edits))
    if len(finding.safe) != 1:
        message = finding.fix or "CONCURRENTLY is refused, or would need more than one file"
        raise CannotFix(message)
    done = only_statement(piece.sql)
    words = list(shifted(concurrently(piece.sql), start))
    checked(piece.sql, concurrently)
    match done:
        case op.CreateIndex(index, if_not_exists=if_not_exists) if if_not_exists or len(found) > 1:
            if index.name is None:
                message = "the index has no name by which what a failed build leaves behind could be dropped"
                raise CannotFix(message)
            newline = "\r\n" if "\r\n" in text else "\n"
            name = QualifiedName(index.name, index.table.schema)
            words.insert(0, Edit(start, start, f"DROP INDEX CONCURRENTLY IF EXISTS {name};{newline}"))
        case _:
            pass
    return Fix("Say CONCURRENTLY", tuple(words))


def _one_line_end(sql: str) -> str:
    return sql.replace("\r\n", "\n").strip()


def _open(before: list[Piece]) -> bool:
    """Whether a BEGIN has no COMMIT yet."""
    found = False
    for piece in before:
        match parse(piece.sql):
            case (op.TransactionControl(action="begin"),):
                found = True
            case (op.TransactionControl(action="commit" | "rollback"),):
                found = False
            case _:
                pass
    return found


def _offset(text: str, piece: Piece) -> int:
    at = 0
    for _ in range(piece.first_line - 1):
        at = text.index("\n", at) + 1
    found = text.find(piece.sql, at)
    if found < 0:
        message = "its place in the file is not sure"
        raise CannotFix(message)
    return found
