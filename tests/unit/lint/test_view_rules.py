"""What the rules about views, functions and triggers find, and what only looks like a hazard."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.rules import views

KEEP = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$"
TRIGGER = "CREATE TRIGGER keep BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION keep()"
BEFORE = (
    "CREATE VIEW buyers AS SELECT id, name FROM users",
    "CREATE MATERIALIZED VIEW totals AS SELECT user_id, sum(total) AS total FROM orders GROUP BY user_id",
    "CREATE FUNCTION tax(amount numeric) RETURNS numeric LANGUAGE sql AS 'SELECT amount * 0.2'",
    KEEP,
    TRIGGER,
)
DEFAULT = tuple(rule for rule in views.RULES if not rule.opt_in)
SILENT_BEFORE = recording("s", *BEFORE, transaction=0)


def found(*statements: str, everything: bool = False) -> list[str]:
    rules = views.RULES if everything else DEFAULT
    told = judge(SILENT_BEFORE, recording("r", *statements), rules=rules, together=False)
    return names([finding for finding in told if finding.revision == "r"])


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("DROP VIEW buyers",), ["drop-view"]),
        (("DROP VIEW IF EXISTS unknown",), ["drop-view"]),
        (("DROP MATERIALIZED VIEW totals",), ["drop-view"]),
        (("DROP VIEW buyers", "CREATE VIEW buyers AS SELECT id, name, email FROM users"), []),
        (("DROP VIEW buyers", "CREATE VIEW buyers AS SELECT name, id FROM users"), []),
        (("DROP VIEW buyers", "CREATE VIEW buyers AS SELECT id FROM users"), ["drop-view-column"]),
        (
            ("autocommit: DROP VIEW buyers", "autocommit: CREATE VIEW buyers AS SELECT id, name FROM users"),
            ["drop-view"],
        ),
        (("CREATE VIEW v AS SELECT 1 AS one", "DROP VIEW v"), []),
        (("CREATE OR REPLACE VIEW buyers AS SELECT id, name, email FROM users",), []),
        (("CREATE OR REPLACE VIEW buyers AS SELECT id, name AS title FROM users",), ["replace-view-columns"]),
        (("CREATE OR REPLACE VIEW buyers AS SELECT name, id FROM users",), ["replace-view-columns"]),
        (("CREATE OR REPLACE VIEW fresh AS SELECT id FROM users",), []),
        (("ALTER VIEW buyers RENAME COLUMN name TO title",), ["rename-view-column"]),
        (
            (
                "ALTER VIEW buyers RENAME COLUMN name TO title",
                "CREATE OR REPLACE VIEW buyers AS SELECT id, name AS title FROM users",
            ),
            ["rename-view-column"],
        ),
        (("REFRESH MATERIALIZED VIEW totals",), ["refresh-matview-blocking"]),
        (("REFRESH MATERIALIZED VIEW unknown",), ["refresh-matview-blocking"]),
        (("REFRESH MATERIALIZED VIEW CONCURRENTLY totals",), []),
        (
            (
                "CREATE MATERIALIZED VIEW m AS SELECT id FROM users WITH NO DATA",
                "REFRESH MATERIALIZED VIEW m",
            ),
            [],
        ),
    ],
)
def test_views(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements) == expected


@pytest.mark.parametrize(
    ("index", "offered"),
    [
        ("CREATE UNIQUE INDEX i ON totals (user_id)", True),
        ("CREATE INDEX i ON totals (user_id)", False),
        ("CREATE UNIQUE INDEX i ON totals (user_id) WHERE total > 0", False),
        ("CREATE UNIQUE INDEX i ON totals (abs(user_id))", False),
    ],
)
def test_concurrently_is_offered_where_it_works(index: str, offered: bool) -> None:
    told = judge(
        SILENT_BEFORE,
        recording("r", index, "REFRESH MATERIALIZED VIEW totals"),
        rules=DEFAULT,
        together=False,
    )

    assert bool(told[-1].safe) is offered


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("DROP FUNCTION tax(numeric)",), ["drop-function"]),
        (("DROP PROCEDURE unknown()",), ["drop-function"]),
        (("DROP FUNCTION keep()",), ["drop-function"]),
        (
            (
                "DROP FUNCTION tax(numeric)",
                "CREATE FUNCTION tax(amount numeric, rate numeric) RETURNS numeric LANGUAGE sql AS 'SELECT amount'",
            ),
            [],
        ),
        (("CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f()"), []),
        (("DROP TRIGGER keep ON orders", "DROP FUNCTION keep()"), ["drop-trigger"]),
        (("DROP TABLE orders", "DROP FUNCTION keep()"), []),
        (("DROP TRIGGER keep ON orders", TRIGGER), []),
        (("DROP TRIGGER IF EXISTS other ON orders",), []),
        (("DROP TRIGGER IF EXISTS keep ON unknown",), ["drop-trigger"]),
        (("CREATE TABLE t (id bigint)", TRIGGER.replace("orders", "t"), "DROP TRIGGER keep ON t"), []),
        (("CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING",), ["create-rule"]),
        (("CREATE TABLE t (id bigint)", "CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING"), []),
    ],
)
def test_functions_triggers_and_rules(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((TRIGGER.replace("TRIGGER keep", "TRIGGER more"),), ["create-trigger"]),
        (("CREATE TABLE t (id bigint)", TRIGGER.replace("orders", "t")), []),
        ((TRIGGER.replace("TRIGGER keep", "TRIGGER zz_evolve_rename"),), []),
        (
            ("CREATE OR REPLACE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN END $$",),
            ["replace-view-or-function"],
        ),
        (("CREATE OR REPLACE FUNCTION fresh() RETURNS integer LANGUAGE sql AS 'SELECT 1'",), []),
        (("ALTER FUNCTION tax(numeric) IMMUTABLE",), ["alter-function-options"]),
        (("ALTER FUNCTION tax(numeric) COST 5",), []),
        (("CREATE MATERIALIZED VIEW m AS SELECT id FROM users",), ["matview-with-data"]),
        (("CREATE MATERIALIZED VIEW m AS SELECT id FROM users WITH NO DATA",), []),
        (("CREATE TABLE t (id bigint)", "CREATE MATERIALIZED VIEW m AS SELECT id FROM t"), []),
    ],
)
def test_what_is_told_only_where_it_is_asked_for(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements, everything=True) == expected
    assert found(*statements) == []
