"""Words put into a statement where it stands, inside a string literal or in a file of SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from evolve.lint.fixes.edits import Edit, apply
from evolve.lint.fixes.fix import CannotFix
from evolve.sql import operations as op
from evolve.sql.parse import parse

_CONCURRENTLY = (
    re.compile(r"\bCREATE\s+(?:UNIQUE\s+)?INDEX\b", re.IGNORECASE),
    re.compile(r"\bDROP\s+INDEX\b", re.IGNORECASE),
    re.compile(r"\bREINDEX\s+(?:INDEX|TABLE|SCHEMA|DATABASE)\b", re.IGNORECASE),
    re.compile(r"\bREFRESH\s+MATERIALIZED\s+VIEW\b", re.IGNORECASE),
)
_IF_NOT_EXISTS = re.compile(r"\s+IF\s+NOT\s+EXISTS\b", re.IGNORECASE)
_ADD_VALUE = re.compile(r"\bADD\s+VALUE\b", re.IGNORECASE)


def concurrently(text: str) -> list[Edit]:
    """CONCURRENTLY where it belongs; without IF NOT EXISTS, which would keep an invalid index."""
    found = [match for pattern in _CONCURRENTLY for match in pattern.finditer(text)]
    if len(found) != 1:
        message = "it cannot be told where CONCURRENTLY belongs in its text"
        raise CannotFix(message)
    end = found[0].end()
    return [Edit(end, end, " CONCURRENTLY"), *without_if_not_exists(text)]


def without_if_not_exists(text: str) -> list[Edit]:
    found = _IF_NOT_EXISTS.search(text)
    return [Edit(found.start(), found.end(), "")] if found else []


def if_not_exists(text: str) -> list[Edit]:
    """Of ADD VALUE."""
    found = _ADD_VALUE.search(text)
    if found is None or _IF_NOT_EXISTS.search(text):
        return []
    return [Edit(found.end(), found.end(), " IF NOT EXISTS")]


def not_valid(text: str) -> list[Edit]:
    """At the end of the statement."""
    end = len(text.rstrip().rstrip(";").rstrip())
    return [Edit(end, end, " NOT VALID")]


def only_statement(sql: str) -> op.Operation:
    """
    Raises:
        CannotFix: it is several statements, or one of several clauses.
    """
    found = parse(sql)
    if len(found) != 1:
        message = "it is one of several statements or clauses in one text"
        raise CannotFix(message)
    return found[0]


def meant(operation: op.Operation) -> op.Operation:
    """What the statement has to say once its words are in it."""
    match operation:
        case op.CreateIndex():
            return replace(operation, concurrently=True, if_not_exists=False)
        case op.DropIndex() | op.Reindex() | op.RefreshMaterializedView():
            return replace(operation, concurrently=True)
        case op.AddEnumValue():
            return replace(operation, if_not_exists=True)
        case op.AddConstraint(constraint=(op.Check() | op.ForeignKey()) as constraint):
            return replace(operation, constraint=replace(constraint, not_valid=True))
        case _:
            return operation


def checked(sql: str, words: Callable[[str], list[Edit]]) -> str:
    """`sql` with the words in it.

    Raises:
        CannotFix: that is not the same statement with these words and nothing else.
    """
    new = apply(sql, words(sql))
    if only_statement(new) != meant(only_statement(sql)):
        message = "its text leaves no sure place for the word that is missing"
        raise CannotFix(message)
    return new


def shifted(edits: list[Edit], by: int) -> Iterator[Edit]:
    return (Edit(edit.start + by, edit.end + by, edit.text) for edit in edits)
