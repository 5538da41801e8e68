"""Which calls count as not read: those of functions that neither a revision nor PostgreSQL made."""

from __future__ import annotations

import pytest
from support.recordings import judge, recording

from evolve.lint.engine import check
from evolve.lint.model import Report
from evolve.lint.rules import DEFAULT, reading

MADE = "CREATE FUNCTION watch() RETURNS void LANGUAGE sql AS $$ COMMENT ON TABLE users IS 'watched' $$"


def found(*statements: str) -> list[str]:
    """The functions that are reported, in the order of the lines."""
    findings = judge(recording("r", *statements), rules=reading.RULES)
    assert {finding.name for finding in findings} <= {"unknown-function"}
    return [finding.message.split('"')[1] for finding in findings]


@pytest.mark.parametrize(
    ("sql", "function"),
    [
        ("SELECT partman.create_parent('public.events', 'year')", "partman.create_parent"),
        ("SELECT create_hypertable('events', 'year')", "create_hypertable"),
        ("SELECT AddGeometryColumn('users', 'place', 4326, 'POINT', 2)", "addgeometrycolumn"),
        ("SELECT \"Make It\"('users')", "Make It"),
        ("SELECT * FROM partman.create_parent('public.events', 'year') AS made", "partman.create_parent"),
        ("SELECT audit.enable(name) FROM users", "audit.enable"),
        ("SELECT coalesce(audit.enable('users'), true)", "audit.enable"),
        ("WITH one AS (SELECT audit.enable('users')) SELECT count(*) FROM one", "audit.enable"),
        ("VALUES (audit.enable('users'))", "audit.enable"),
        ("CALL theirs.tidy(1)", "theirs.tidy"),
        ("DO $$ BEGIN PERFORM audit.enable('users'); END $$", "audit.enable"),
        ("DO $$ DECLARE done boolean; BEGIN done := audit.enable('users'); END $$", "audit.enable"),
        ("DO $$ BEGIN EXECUTE 'SELECT audit.enable(1)'; END $$", "audit.enable"),
        ("DO $$ DECLARE done boolean; BEGIN SELECT audit.enable('users') INTO done; END $$", "audit.enable"),
        ("SELECT dblink_exec('dbname=other', 'DROP TABLE users')", "dblink_exec"),
        # The name of a built-in in a schema of somebody's own.
        ("SELECT audit.now()", "audit.now"),
        ("SELECT audit.uuid_generate_v4()", "audit.uuid_generate_v4"),
        # What dblink runs stands in no revision, wherever it is.
        ("SELECT extensions.dblink_exec('dbname=other', 'DROP TABLE users')", "extensions.dblink_exec"),
    ],
)
def test_call_of_what_nobody_made_is_reported(sql: str, function: str) -> None:
    assert found(sql) == [function]


@pytest.mark.parametrize(
    "statements",
    [
        ("SELECT setval('users_id_seq', 9)",),
        ("SELECT pg_catalog.set_config('search_path', '', false)",),
        ("SELECT extract(year FROM now()), substring('abc' FROM 2), uuid('0')",),
        ("SELECT uuid_generate_v4(), public.unaccent('a'), similarity('a', 'b')",),
        ("SELECT n FROM generate_series(1, 9) AS n",),
        ("SELECT extensions.uuid_generate_v4(), extensions.crypt('a', extensions.gen_salt('bf'))",),
        (
            'CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA contrib',
            "SELECT contrib.uuid_generate_v4()",
        ),
        ("SELECT id FROM users WHERE their_check(name) ORDER BY their_order(name)",),
        ("UPDATE users SET name = their_clean(name)",),
        ("INSERT INTO users (id, name, email) SELECT id, their_clean(name), email FROM people",),
        ("DELETE FROM users WHERE their_check(name)",),
        ("ALTER TABLE users ADD COLUMN token uuid DEFAULT their_uuid()",),
        ("CREATE VIEW names AS SELECT their_clean(name) AS name FROM users",),
        ("CREATE INDEX by_clean_name ON users (their_clean(name))",),
        ("CREATE TRIGGER clean BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION their_trigger()",),
        (MADE, "SELECT watch()"),
        (f"DO $do$ BEGIN {MADE}; PERFORM watch(); END $do$",),
        ("CREATE PROCEDURE \"Tidy\"() LANGUAGE sql AS 'SELECT 1'", 'CALL "Tidy"()'),
        ("CREATE FUNCTION \"Tidy\"() RETURNS integer LANGUAGE sql AS 'SELECT 1'", 'SELECT "Tidy"()'),
        ("DO $$ DECLARE n integer; BEGIN n := coalesce(length('a'), 0); END $$",),
    ],
)
def test_calls_that_change_nothing_or_are_read_are_silent(statements: tuple[str, ...]) -> None:
    assert found(*statements) == []


def test_call_within_a_function_of_the_history_is_reported_where_that_is_called() -> None:
    made = "CREATE FUNCTION outer_one() RETURNS void LANGUAGE sql AS $$ SELECT audit.enable('users') $$"

    assert found(made) == []
    assert found(made, "SELECT outer_one()") == ["audit.enable"]


@pytest.mark.parametrize(
    ("change", "call"),
    [
        ("ALTER FUNCTION watch() RENAME TO look", "look()"),
        ("ALTER FUNCTION watch() SET SCHEMA s", "s.watch()"),
        ("ALTER FUNCTION watch() SET SCHEMA s; ALTER SCHEMA s RENAME TO r", "r.watch()"),
        ("CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer)", "total(1)"),
    ],
)
def test_function_is_known_by_the_name_it_has_now(change: str, call: str) -> None:
    assert found("CREATE SCHEMA s", MADE, change, f"SELECT {call}") == []
    assert found("CREATE SCHEMA s", MADE, f"DO $do$ BEGIN {change}; PERFORM {call}; END $do$") == []


def test_what_a_function_returns_is_read() -> None:
    body = "$$ BEGIN RETURN audit.enable('users'); END $$"

    assert found(f"CREATE FUNCTION f() RETURNS boolean LANGUAGE plpgsql AS {body}", "SELECT f()") == [
        "audit.enable"
    ]


def test_function_that_was_dropped_is_not_known_any_more() -> None:
    assert found(MADE, "DROP FUNCTION watch()", "SELECT watch()") == ["watch"]


def test_function_is_told_of_once_in_a_revision() -> None:
    calls = [f"SELECT audit.enable('{table}')" for table in ("users", "orders", "people")]

    findings = judge(recording("one", *calls), recording("two", calls[0]), rules=reading.RULES)

    assert [(finding.revision, finding.place.line) for finding in findings] == [("one", 1), ("two", 1)]
    assert findings[0].message.endswith("it is called 2 times more")


def test_statement_counts_as_not_read() -> None:
    result = check([recording("r", "SELECT audit.enable('users')", "SELECT now()")], DEFAULT)

    assert (result.coverage.statements, result.coverage.read) == (2, 1)
    assert Report(result.findings, (), result.coverage).has_gaps


def test_message_says_what_a_well_known_function_does() -> None:
    [finding] = judge(recording("r", "SELECT create_hypertable('events', 'year')"), rules=reading.RULES)

    assert "TimescaleDB" in finding.message
