"""What conditions ask of a column, as it is read from their text."""

from __future__ import annotations

import pytest

from evolve.sql.conditions import Condition
from evolve.sql.names import QualifiedName
from evolve.sql.query_use import Join, QueryUse, compared_parameters, query_use

ORDERS, USERS = QualifiedName("orders"), QualifiedName("users")
COLUMNS = {
    ORDERS: frozenset({"id", "user_id", "at", "done", "tags"}),
    USERS: frozenset({"id", "name"}),
}


def used(sql: str) -> QueryUse:
    found = query_use(sql, ORDERS, COLUMNS)
    assert found is not None
    return found


def asked(where: str, column: str = "at") -> list[Condition]:
    (scope,) = used(f"SELECT FROM orders WHERE {where}").scopes
    return [condition for condition in scope.conditions if condition.column[1] == column]


@pytest.mark.parametrize(
    ("where", "form", "detail"),
    [
        ("at = $1", "equal", "="),
        ("$1 = at", "equal", "="),
        ("at IN ($1, $2)", "equal", "="),
        ("at = ANY ($1)", "equal", "="),
        ("(id, at) = ($1, $2)", "equal", "="),
        ("at = $1 OR at = $2", "equal", "OR"),
        ("at = (SELECT max(at) FROM orders_2025)", "equal", "="),
        ("at >= $1", "range", ">="),
        ("$1 > at", "range", "<"),
        ("at = $1 OR at > $2", "range", "OR"),
        ("at = $1 OR id = $2", "or", "OR"),
        ("date_trunc('day', at) = $1", "function", "date_trunc"),
        ("at::date = $1", "cast", "date"),
        ("at + '1 day'::interval > $1", "expression", "at + '1 day'::interval"),
        ("at < id", "own", "<"),
        ("at <> $1", "operator", "<>"),
        ("at NOT IN ($1)", "operator", "NOT IN"),
        ("at NOT BETWEEN $1 AND $2", "operator", "NOT BETWEEN"),
        ("at LIKE $1", "operator", "LIKE"),
        ("(at, id) > ($1, $2)", "operator", "a row >"),
        ("NOT at = $1", "operator", "NOT"),
        ("at IS NOT NULL", "null", "IS NOT NULL"),
        ("at IN (SELECT day FROM days)", "join", "IN"),
    ],
)
def test_the_form_of_a_condition(where: str, form: str, detail: str) -> None:
    assert [(condition.form, condition.detail) for condition in asked(where)] == [(form, detail)]


def test_between_has_two_sides() -> None:
    assert [(c.detail, c.parameters) for c in asked("at BETWEEN $1 AND $2")] == [(">=", (1,)), ("<=", (2,))]


@pytest.mark.parametrize(
    ("where", "values"),
    [
        ("at = $1", 1),
        ("at IN ($1, $2, $3)", 3),
        ("at = ANY (ARRAY[$1, $2])", 2),
        ("at = ANY ('{a,b,c,d}'::text[])", 4),
        ("at = ANY ($1)", None),
        ("at = $1 OR at IN ($2, $3)", 3),
    ],
)
def test_how_many_values_it_names(where: str, values: int | None) -> None:
    assert [condition.values for condition in asked(where)] == [values]


def test_a_value_that_comes_from_a_subquery_comes_late() -> None:
    (condition,) = asked("at = (SELECT max(day) FROM days)")
    assert condition.late


def test_functions_of_the_value_are_told() -> None:
    (condition,) = asked("at > current_date - least(now(), $1)")
    assert condition.functions == ("current_date", "now")


def test_an_array_column_that_is_looked_into() -> None:
    assert [(c.form, c.detail) for c in asked("$1 = ANY (tags)", "tags")] == [("operator", "= ANY")]


def test_a_value_that_a_join_hands_on_counts() -> None:
    (scope,) = used(
        "SELECT FROM orders o JOIN users u ON u.id = o.user_id WHERE u.id = $1 AND name = $2"
    ).scopes
    assert [(c.column, c.form) for c in scope.conditions] == [
        (("o", "user_id"), "join"),
        (("o", "user_id"), "equal"),
    ]
    assert scope.joins == (Join("user_id", USERS, "id"),)


def test_a_subquery_is_a_place_of_its_own() -> None:
    found = used("SELECT FROM users WHERE id IN (SELECT user_id FROM orders WHERE at = $1) AND name = $2")
    assert [[c.column[1] for c in scope.conditions] for scope in found.scopes] == [["at"]]


def test_a_name_that_with_gives_is_not_the_table() -> None:
    assert query_use("WITH orders AS (SELECT 1 AS id) SELECT * FROM orders", ORDERS, COLUMNS) is None


@pytest.mark.parametrize(
    ("sql", "kind", "sets", "places"),
    [
        ("INSERT INTO orders VALUES (1)", "insert", set(), 0),
        ("INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET at = $1", "insert", {"at"}, 0),
        ("UPDATE orders SET user_id = $1 WHERE id = $2", "update", {"user_id"}, 1),
        ("DELETE FROM orders USING users u WHERE u.id = user_id", "delete", set(), 1),
        (
            "MERGE INTO orders o USING users u ON o.user_id = u.id WHEN MATCHED THEN UPDATE SET done = true",
            "merge",
            {"done"},
            1,
        ),
    ],
)
def test_what_is_written(sql: str, kind: str, sets: set[str], places: int) -> None:
    found = used(sql)
    assert (found.kind, found.writes, found.sets, len(found.scopes)) == (kind, True, sets, places)


def test_parameters_are_found_with_what_they_are_compared() -> None:
    sql = "SELECT FROM v WHERE at >= $1::date AND at < $2 AND id IN ($3, $4) AND lower(name) = $5"
    assert list(compared_parameters(sql)) == [(1, "at", ">="), (2, "at", "<"), (3, "id", "="), (4, "id", "=")]
