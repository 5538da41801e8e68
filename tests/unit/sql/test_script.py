"""Files of plain SQL: their statements, lines, transactions and comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve.sql.script import Comment, Piece, comments, pieces, read_script
from evolve.sql.steps import Mark

FILE = Path("change.sql")


def test_statements_and_their_lines() -> None:
    text = "-- first\nSELECT 1;\n\n/* ; */ SELECT ';',\n  $$ ; $$ ;;\nSELECT 3"

    assert list(pieces(text)) == [
        Piece("SELECT 1", 2, 2),
        Piece("SELECT ';',\n  $$ ; $$", 4, 5),
        Piece("SELECT 3", 6, 6),
    ]


def test_letters_of_several_bytes_do_not_move_lines() -> None:
    assert list(pieces("SELECT 'über';\nSELECT 'ñ'")) == [
        Piece("SELECT 'über'", 1, 1),
        Piece("SELECT 'ñ'", 2, 2),
    ]


def test_body_in_sql_standard_form_is_one_statement() -> None:
    body = "CREATE PROCEDURE p() BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END"

    assert [piece.sql for piece in pieces(f"{body};\nSELECT 3;")] == [body, "SELECT 3"]


def test_what_does_not_scan_comes_back_whole() -> None:
    assert list(pieces("SELECT 1;\nSELECT 'no end")) == [Piece("SELECT 1;\nSELECT 'no end", 1, 2)]


def test_rows_of_copy_are_no_statements() -> None:
    text = "COPY users (id) FROM stdin;\n1;\n2\n\\.\nSELECT 1;\n"

    assert list(pieces(text)) == [Piece("COPY users (id) FROM stdin", 1, 1), Piece("SELECT 1", 5, 5)]


def test_commands_of_psql_are_told() -> None:
    found = read_script("\\set ON_ERROR_STOP on\nSELECT 1;", FILE)

    assert [(r.mark, r.place.line, r.detail) for r in found.remarks] == [
        (Mark.UNKNOWN_OPERATION, 1, "\\set ON_ERROR_STOP on")
    ]


@pytest.mark.parametrize(
    ("text", "whole", "transactions"),
    [
        ("SELECT 1; SELECT 2", False, [None, None]),
        ("SELECT 1; SELECT 2", True, [0, 0]),
        ("BEGIN; SELECT 1; SELECT 2; COMMIT; SELECT 3", False, [1, 1, None]),
        ("START TRANSACTION; SELECT 1; END; BEGIN; SELECT 2; ROLLBACK", False, [1, 3]),
        ("SELECT 1; COMMIT; SELECT 2", True, [0, 1]),
    ],
)
def test_transactions(text: str, whole: bool, transactions: list[int | None]) -> None:
    found = read_script(text, FILE, in_transaction=whole)

    assert [statement.transaction for statement in found.statements] == transactions


def test_comments() -> None:
    text = "-- above\nSELECT '-- none'; -- behind\n/* other */"

    assert list(comments(text)) == [
        Comment("above", 1, above=True),
        Comment("behind", 2, above=False),
        Comment("other", 3, above=True),
    ]
