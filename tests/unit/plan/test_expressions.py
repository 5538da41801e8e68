"""Expressions that operators give: of the row alone, and by no other name than the trigger knows."""

from __future__ import annotations

import pytest

from evolve.errors import Misuse
from evolve.plan.expressions import HoldsQuery, read_default, read_expression
from evolve.plan.target import Target, TargetColumn
from evolve.sql.names import QualifiedName

USERS = Target(QualifiedName("users"), (TargetColumn("id", "bigint"), TargetColumn("name", "text")))


@pytest.mark.parametrize(
    "text",
    [
        "(SELECT 1)",
        "coalesce(name, (SELECT max(name) FROM users))",
        "EXISTS (TABLE users)",
        "name IN (WITH w AS (SELECT 'a') TABLE w)",
        "name = ANY (VALUES ('a'))",
        "cardinality(ARRAY(SELECT name))",
    ],
)
def test_a_query_is_refused(text: str) -> None:
    with pytest.raises(HoldsQuery, match="holds a query"):
        read_expression("--up", text, USERS, column="")


def test_what_looks_like_a_query_is_read() -> None:
    assert read_expression("--up", "name IN ('SELECT', 'b') AND id = ANY (ARRAY[1, 2])", USERS, column="")


@pytest.mark.parametrize("text", ["lower(users.name)", "public.users.name"])
def test_a_column_that_is_named_with_its_table_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="a trigger knows the row by no name"):
        read_expression("--up", text, USERS, column="")


def test_a_default_holds_no_query() -> None:
    with pytest.raises(Misuse, match="which PostgreSQL takes for no default"):
        read_default("--default", "(SELECT 1)", USERS, column="id")
