"""Passwords are taken out of any text, wherever people write them; the rest of it stays."""

from __future__ import annotations

import pytest

from evolve.redaction import shown, without_passwords


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("at postgresql+psycopg://me:pw@db:5432/shop now", "at postgresql+psycopg://me:***@db:5432/shop now"),
        ("postgresql://me:p@w/x:y@db/shop", "postgresql://me:***@db/shop"),
        ("postgresql://db/shop", "postgresql://db/shop"),
        ("connect('host=db password=pw user=me')", "connect('host=db password=*** user=me')"),
        ("password = 'p w\\'x' host=db", "password = *** host=db"),
        ("ALTER ROLE me PASSWORD 'it''s'; SELECT 1", "ALTER ROLE me PASSWORD ***; SELECT 1"),
        ("ALTER ROLE me PASSWORD 'cut off her", "ALTER ROLE me PASSWORD ***"),
        ("OPTIONS (user 'me', password 'pw')", "OPTIONS (user 'me', password ***)"),
        ("ALTER ROLE me PASSWORD $x$p'w$x$ LOGIN", "ALTER ROLE me PASSWORD *** LOGIN"),
        ("ALTER ROLE me PASSWORD U&'pw' UESCAPE '!'", "ALTER ROLE me PASSWORD *** UESCAPE '!'"),
        ("OPTIONS (user 'me', \"password\" 'pw')", "OPTIONS (user 'me', \"password\" ***)"),
        ("format('ALTER ROLE %I PASSWORD %L', 'me', 'pw')", "format('ALTER ROLE %I PASSWORD ***"),
        ("'ALTER ROLE me PASSWORD ' || quote_literal('pw')", "'ALTER ROLE me PASSWORD ***"),
        ("ALTER ROLE me PASSWORD NULL", "ALTER ROLE me PASSWORD NULL"),
        ("ALTER TABLE users ADD password text", "ALTER TABLE users ADD password text"),
    ],
)
def test_passwords_are_gone(text: str, left: str) -> None:
    assert without_passwords(text) == left


def test_what_others_wrote_does_not_act_on_a_terminal() -> None:
    assert shown("a\x1b]0;x\a\u202eb\tc\nd") == "a\\x1b]0;x\\x07\\u202eb\tc\nd"
