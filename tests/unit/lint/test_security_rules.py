"""What the rules about policies, privileges and superuser statements find, and what only looks like a hazard."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.model import Severity
from evolve.lint.rules import security

NEW = "CREATE TABLE t (id bigint PRIMARY KEY)"
POLICY = "CREATE POLICY p ON t USING (id = 1)"
DEFAULT = tuple(rule for rule in security.RULES if not rule.opt_in)


def found(*statements: str, everything: bool = False) -> list[str]:
    return names(judge(recording("r", *statements), rules=security.RULES if everything else DEFAULT))


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("ALTER TABLE orders ENABLE ROW LEVEL SECURITY",), ["rls-no-policy"]),
        (("ALTER TABLE unknown ENABLE ROW LEVEL SECURITY",), ["rls-enable"]),
        (
            (
                "CREATE POLICY p ON orders USING (id = 1)",
                "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
            ),
            ["rls-enable"],
        ),
        (
            (
                "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
                "CREATE POLICY p ON orders USING (id = 1)",
            ),
            ["rls-enable"],
        ),
        ((NEW, "ALTER TABLE t ENABLE ROW LEVEL SECURITY"), ["rls-no-policy"]),
        ((NEW, POLICY, "ALTER TABLE t ENABLE ROW LEVEL SECURITY"), []),
        ((NEW, POLICY, "ALTER TABLE t FORCE ROW LEVEL SECURITY"), []),
        (("ALTER TABLE orders DISABLE ROW LEVEL SECURITY",), ["rls-disable"]),
        (
            (
                "ALTER TABLE unknown NO FORCE ROW LEVEL SECURITY",
                "UPDATE unknown SET a = 1 WHERE id = 1",
                "ALTER TABLE unknown FORCE ROW LEVEL SECURITY",
            ),
            [],
        ),
        ((NEW, "ALTER TABLE t DISABLE ROW LEVEL SECURITY"), []),
        (("DROP POLICY p ON unknown",), ["drop-policy"]),
        (("DROP POLICY IF EXISTS p ON orders",), []),
        (("DROP POLICY p ON unknown", "CREATE POLICY p ON unknown USING (id = 2)"), []),
        ((NEW, POLICY, "DROP POLICY p ON t"), []),
    ],
)
def test_row_level_security(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements) == expected


@pytest.mark.parametrize(("before", "severity"), [((), Severity.ERROR), ((NEW,), Severity.WARNING)])
def test_no_policy_is_worse_where_somebody_reads_the_table(
    before: tuple[str, ...], severity: Severity
) -> None:
    table = "t" if before else "orders"

    [finding] = judge(
        recording("r", *before, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"), rules=DEFAULT
    )

    assert finding.severity is severity


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE POLICY p ON orders USING (true)", True),
        ("CREATE POLICY p ON orders USING (TRUE) WITH CHECK (id = 1)", False),
        ("CREATE POLICY p ON orders USING (id = 1) WITH CHECK (true)", True),
        ("CREATE POLICY p ON orders USING (1 = 1)", True),
        ("CREATE POLICY p ON orders FOR SELECT USING (true)", False),
        ("CREATE POLICY p ON orders FOR INSERT WITH CHECK (true)", True),
        ("CREATE POLICY p ON orders FOR DELETE USING (true)", True),
        ("CREATE POLICY p ON orders AS RESTRICTIVE USING (true)", False),
        ("CREATE POLICY p ON orders TO admins USING (true)", False),
        ("CREATE POLICY p ON orders TO admins, PUBLIC USING (true)", True),
        ("CREATE POLICY p ON orders", False),
        ("ALTER POLICY p ON orders USING (true)", True),
        ("ALTER POLICY p ON orders RENAME TO q", False),
    ],
)
def test_policies_that_are_always_true(sql: str, expected: bool) -> None:
    assert found(sql) == (["policy-always-true"] if expected else [])


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("REVOKE SELECT ON orders FROM app",), ["revoke"]),
        (("REVOKE ALL ON SCHEMA public FROM PUBLIC",), ["revoke"]),
        ((NEW, "REVOKE ALL ON t FROM PUBLIC"), []),
        (
            (
                "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
                "REVOKE ALL ON FUNCTION f() FROM PUBLIC",
            ),
            [],
        ),
        (("ALTER TABLE orders OWNER TO app",), ["revoke"]),
        ((NEW, "ALTER TABLE t OWNER TO app"), []),
        (("ALTER FUNCTION f() OWNER TO app",), ["revoke"]),
        (("CREATE TYPE s AS ENUM ('a')", "ALTER TYPE s OWNER TO app"), []),
        (("REASSIGN OWNED BY a TO b",), ["revoke"]),
        (("GRANT SELECT ON orders TO app",), []),
    ],
)
def test_rights_that_are_taken_away(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("GRANT SELECT ON orders TO app", ["grant"]),
        ("GRANT app TO somebody", ["grant"]),
        ("CREATE POLICY p ON orders USING (id = 1)", ["change-policy"]),
        ("ALTER POLICY p ON orders TO app", ["change-policy"]),
        ("ALTER POLICY p ON orders RENAME TO q", []),
    ],
)
def test_what_is_told_only_where_it_is_asked_for(sql: str, expected: list[str]) -> None:
    assert found(sql, everything=True) == expected
    assert found(sql) == []


DEFINER = "CREATE FUNCTION f() RETURNS integer LANGUAGE sql SECURITY DEFINER"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((f"{DEFINER} AS 'SELECT 1'",), True),
        ((f"{DEFINER} SET work_mem = '1MB' AS 'SELECT 1'",), True),
        ((f"{DEFINER} SET search_path = pg_catalog AS 'SELECT 1'",), False),
        ((f"{DEFINER} BEGIN ATOMIC SELECT 1; END",), False),
        ((f"{DEFINER} AS 'SELECT 1'", "ALTER FUNCTION f() SET search_path = pg_catalog"), False),
        (("ALTER FUNCTION f() SECURITY DEFINER",), True),
        (("ALTER FUNCTION f() SECURITY DEFINER SET search_path = pg_catalog",), False),
        (("ALTER FUNCTION f() SECURITY INVOKER",), False),
    ],
)
def test_functions_with_their_owners_rights(statements: tuple[str, ...], expected: bool) -> None:
    assert found(*statements) == (["security-definer-search-path"] if expected else [])


@pytest.mark.parametrize(
    ("sql", "fails"),
    [
        ("ALTER SYSTEM SET work_mem = '1MB'", True),
        ("autocommit: ALTER SYSTEM SET work_mem = '1MB'", False),
        ("CREATE EXTENSION dblink", False),
        ("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()", False),
        ("COPY users FROM PROGRAM 'cat x'", False),
        ("COPY users TO '/tmp/x'", False),
        ("CREATE ROLE app", False),
        ("ALTER ROLE app BYPASSRLS", False),
        ("CREATE FUNCTION f() RETURNS integer LANGUAGE c AS 'lib', 'f'", False),
        ("CREATE FUNCTION f() RETURNS integer LANGUAGE plpython3u AS 'return 1'", False),
        ("CREATE PUBLICATION p FOR ALL TABLES", False),
    ],
)
def test_statements_for_superusers(sql: str, fails: bool) -> None:
    told = judge(recording("r", sql), rules=DEFAULT)

    assert [(finding.name, finding.fails) for finding in told] == [("superuser-statement", fails)]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE EXTENSION pgcrypto",
        "CREATE EXTENSION vector",
        "CREATE EXTENSION IF NOT EXISTS dblink",
        "COPY users FROM STDIN",
        "ALTER ROLE app LOGIN",
        "ALTER ROLE app SET search_path = public",
        "CREATE PUBLICATION p FOR TABLE users",
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_statements_that_need_no_superuser(sql: str) -> None:
    assert found(sql) == []
