"""Where statements end and which words they start with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.revisions.sql_text import leading_word, outer_list, outer_words, split, words


@pytest.mark.parametrize(
    ("sql", "pieces"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1"]),
        (" ; ; ", []),
        ("-- nothing\n/* at all; */", []),
        ("SELECT ';'; SELECT 2", ["SELECT ';'", "SELECT 2"]),
        ("SELECT 'it''s;'; SELECT 2", ["SELECT 'it''s;'", "SELECT 2"]),
        (r"SELECT E'\';'; SELECT 2", [r"SELECT E'\';'", "SELECT 2"]),
        (r"SELECT '\'; SELECT 2", [r"SELECT '\'", "SELECT 2"]),
        ('SELECT "a;b"; SELECT 2', ['SELECT "a;b"', "SELECT 2"]),
        ("DO $$ BEGIN x; END $$; SELECT 2", ["DO $$ BEGIN x; END $$", "SELECT 2"]),
        ("DO $a$ $$;$$ ; $a$; SELECT 2", ["DO $a$ $$;$$ ; $a$", "SELECT 2"]),
        ("SELECT a$b$c; SELECT 2", ["SELECT a$b$c", "SELECT 2"]),
        ("SELECT $1; SELECT 2", ["SELECT $1", "SELECT 2"]),
        ("SELECT 1 -- ; no\n; SELECT 2", ["SELECT 1 -- ; no", "SELECT 2"]),
        ("SELECT 1 /* ; /* ; */ ; */; SELECT 2", ["SELECT 1 /* ; /* ; */ ; */", "SELECT 2"]),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; SELECT 3",
            [
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END",
                "SELECT 3",
            ],
        ),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3", None),
        ("SELECT 'unclosed; ", ["SELECT 'unclosed;"]),
    ],
)
def test_statements_end_at_their_semicolons(sql: str, pieces: list[str] | None) -> None:
    expected = pieces if pieces is not None else [part.strip() for part in sql.rsplit(";", 1)]

    assert split(sql) == expected


@given(st.text(alphabet="a ;'\"$-/*\n()E\\", max_size=40))
def test_any_text_splits(sql: str) -> None:
    assert all(piece.strip() == piece and piece for piece in split(sql))


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("/* why */ -- because\n commit work", ["COMMIT", "WORK"]),
        ("'x' BEGIN", ["BEGIN"]),
        ("alter table t add c int", ["ALTER", "TABLE"]),
        ("", []),
    ],
)
def test_first_words(sql: str, first: list[str]) -> None:
    assert words(sql, 2) == first


def test_words_of_subqueries_are_not_the_statements() -> None:
    assert outer_words("SELECT (SELECT 1 FROM b) x WHERE true") == ["SELECT", "X", "WHERE", "TRUE"]


def test_the_select_list() -> None:
    sql = "SELECT a, f(b, c) AS d, ',' FROM t"

    assert outer_list(sql, "SELECT", frozenset({"FROM"})) == ["a", "f(b, c) AS d", "','"]


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("create table t ()", "CREATE"),
        ("COMMIT", "COMMIT"),
        ("E'select'", None),
        ("-- a comment\nSELECT 1", None),
        ("", None),
    ],
)
def test_the_leading_word_is_told_where_the_text_begins_with_it(sql: str, word: str | None) -> None:
    assert leading_word(sql) == word
