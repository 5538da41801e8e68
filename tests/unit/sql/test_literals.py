"""Which defaults a type takes; tests/integration/test_literals.py asks servers the same."""

from __future__ import annotations

import pytest

from evolve.sql.literals import misfit
from evolve.sql.operations import SetDefault
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema


def of(default: str, type_: str, *made: str) -> tuple[bool, bool]:
    """Whether the default is refused when it is stored, and whether when it is used."""
    schema = Schema()
    for sql in ("CREATE TYPE status AS ENUM ('new', 'paid')", "CREATE DOMAIN code AS varchar(3)", *made):
        for operation in parse(sql):
            apply(schema, operation)
    (set_default,) = parse(f"ALTER TABLE t ALTER c SET DEFAULT {default}")
    assert isinstance(set_default, SetDefault)
    wrong = misfit(set_default.default, type_, schema)
    return (wrong is not None and not wrong.when_used, wrong is not None and wrong.when_used)


def test_domain_counts_as_its_base_type() -> None:
    assert of("'abcd'", "code") == (False, True)


def test_value_that_unread_text_may_have_added_is_taken() -> None:
    assert of("'gone'", "status") == (True, False)
    assert of("'gone'", "status", "ALTER TYPE status ADD VALUES 'gone'") == (False, False)


def test_type_of_an_extension_takes_anything() -> None:
    assert of("'abc'", "ltree") == (False, False)
    assert of("5", "geometry") == (False, False)


def test_cast_of_the_users_own_is_followed_no_further() -> None:
    assert of("'a'::text::status", "status") == (False, False)


@pytest.mark.parametrize("default", ["new", "lower(name)"])
def test_word_without_quotes_is_a_column(default: str) -> None:
    assert of(default, "text") == (True, False)
