"""What an empty database answers."""

from __future__ import annotations

import pytest

from evolve.revisions.answers import answer, reads_catalog


@pytest.mark.parametrize(
    ("sql", "columns", "rows"),
    [
        ("SELECT id, name FROM users", ("id", "name"), ()),
        ("SELECT u.id AS key FROM users u WHERE x IN (SELECT 1)", ("key",), ()),
        ("SELECT count(*) FROM users", ("count",), ((0,),)),
        ("SELECT count(*) AS n, max(id) FROM users WHERE a", ("n", "max"), ((0, None),)),
        ("SELECT coalesce(max(id), 7) FROM users", ("coalesce",), ((7,),)),
        ("SELECT name, count(*) FROM users GROUP BY name", ("name", "count"), ()),
        ("SELECT EXISTS (SELECT 1 FROM users)", ("EXISTS",), ((False,),)),
        ("SELECT NOT EXISTS (SELECT 1 FROM users)", ("EXISTS",), ((True,),)),
        ("SELECT 1", ("?column?",), ((1,),)),
        ("SELECT 'it''s' AS x", ("x",), (("it's",),)),
        ("SELECT a::text, b.c::public.mood FROM b", ("a", "c"), ()),
        ("SELECT nextval('s')", ("nextval",), ((1,),)),
        ("SELECT setval('s', 5)", ("setval",), ((None,),)),
        ("SHOW server_version_num", ("server_version_num",), (("170000",),)),
        ("VALUES (1)", ("?column?",), ()),
        ("WITH x AS (SELECT 1) SELECT a FROM x", ("a",), ()),
        ("INSERT INTO t (a) VALUES (1) RETURNING id", ("id",), ((1,),)),
        ("INSERT INTO t (a) SELECT b FROM c RETURNING id", ("id",), ()),
        ("DELETE FROM t RETURNING id", ("id",), ()),
    ],
)
def test_answers(sql: str, columns: tuple[str, ...], rows: tuple[tuple[object, ...], ...]) -> None:
    found = answer(sql)

    assert (found.columns, found.rows) == (columns, rows)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = 1",
        "INSERT INTO t VALUES (1)",
        "CREATE TABLE t ()",
        "SELECT 1 INTO t",
        "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
    ],
)
def test_statements_that_return_no_rows(sql: str) -> None:
    assert answer(sql).columns is None


def test_columns_that_the_caller_knows() -> None:
    assert answer("SELECT f(x) FROM t", ("f",)).columns == ("f",)


@pytest.mark.parametrize(
    ("sql", "catalog"),
    [
        ("SELECT 1 FROM pg_type WHERE typname = 'x'", True),
        ("SELECT to_regclass('t')", True),
        ("SELECT * FROM information_schema.columns", True),
        ("SHOW search_path", True),
        ("SELECT version()", True),
        ("SELECT id FROM users", False),
        ("SELECT id FROM pg_imports", False),
    ],
)
def test_questions_about_the_schema_are_told_apart(sql: str, catalog: bool) -> None:
    assert reads_catalog(sql) is catalog
