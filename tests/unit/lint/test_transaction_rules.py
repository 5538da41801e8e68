"""What rules about transactions, the session and data find, and what looks like a hazard and is none."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.rules.transactions import RULES

ADD = "ALTER TABLE orders ADD COLUMN c integer"
OURS = frozenset(rule.name for rule in RULES)


def found(*statements: str) -> list[str]:
    return [name for name in names(judge(recording("r", *statements))) if name in OURS]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        # A seed of constants, and rows from a table that is new, end at once.
        ((ADD, "INSERT INTO users SELECT 1, 'a', 'b'"), []),
        ((ADD, "INSERT INTO users SELECT * FROM (VALUES (1, 'a', 'b')) AS v (id, name, email)"), []),
        (
            (ADD, "INSERT INTO users SELECT 1, 'a', 'b' WHERE NOT EXISTS (SELECT 1 FROM users WHERE id = 1)"),
            [],
        ),
        (
            ("CREATE TABLE seeds (id bigint)", ADD, "INSERT INTO users SELECT id, 'a', 'b' FROM seeds"),
            [],
        ),
        (
            (ADD, "INSERT INTO users SELECT id, 'a', 'b' FROM orders"),
            ["ddl-and-backfill-one-transaction"],
        ),
        (
            (ADD, "WITH o AS (SELECT id FROM orders) INSERT INTO users SELECT id, 'a', 'b' FROM o"),
            ["ddl-and-backfill-one-transaction"],
        ),
    ],
)
def test_rows_inserted_under_a_lock(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((ADD, "CREATE TABLE t AS SELECT * FROM users"), True),
        ((ADD, "CREATE MATERIALIZED VIEW m AS SELECT * FROM users"), True),
        ((ADD, "CREATE TABLE t (id bigint)", "INSERT INTO t SELECT id FROM users"), True),
        ((ADD, "ANALYZE orders"), True),
        ((ADD, "ANALYZE"), True),
        ((ADD, "ALTER TABLE orders ALTER note SET DEFAULT 'x'"), False),
        ((ADD, "CREATE MATERIALIZED VIEW m AS SELECT * FROM users WITH NO DATA"), False),
        ((ADD, "CREATE TABLE t (id bigint)", "ANALYZE t"), False),
        ((ADD, "CREATE VIEW v AS SELECT * FROM users"), False),
        (("CREATE TABLE t AS SELECT * FROM users", ADD), False),
        (("autocommit: " + ADD, "CREATE TABLE t AS SELECT * FROM users"), False),
        (("CREATE TABLE t (id bigint)", "ALTER TABLE t ADD COLUMN c integer", "ANALYZE orders"), False),
        (("ALTER TABLE orders ADD CONSTRAINT p CHECK (total > 0) NOT VALID", "ANALYZE users"), True),
        ((ADD, "SELECT id, name FROM users"), True),
        ((ADD, "SELECT count(*) FROM users JOIN orders ON user_id = users.id"), True),
        ((ADD, "SELECT name FROM users WHERE id = 1"), False),
        ((ADD, "SELECT name FROM users LIMIT 1"), False),
        ((ADD, "SELECT setval('s', max(id)) FROM users"), False),
        ((ADD, "SELECT relname FROM pg_class"), False),
        ((ADD, "SELECT 1"), False),
    ],
)
def test_slow_work_after_access_exclusive(statements: tuple[str, ...], expected: bool) -> None:
    assert ("statement-after-access-exclusive" in found(*statements)) is expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((ADD, "ALTER TABLE users ADD COLUMN c integer"), 1),
        ((ADD, "ALTER TABLE users ADD COLUMN c integer", "ALTER TABLE people ADD COLUMN c integer"), 1),
        ((ADD, "ALTER TABLE orders ADD COLUMN d integer"), 0),
        ((ADD, "CREATE TABLE t (c integer)", "ALTER TABLE t ADD COLUMN d integer"), 0),
        (("autocommit: " + ADD, "ALTER TABLE users ADD COLUMN c integer"), 0),
        # One statement that locks both cannot be parted.
        (("ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey", ADD), 0),
        # A partition is locked with its table.
        (("ALTER TABLE events ADD COLUMN c integer", "ALTER TABLE events_2026 ALTER c SET DEFAULT 1"), 0),
        # What is dropped has no traffic left; the tables that go with it in one revision are not told of again.
        (("DROP TABLE people", "DROP TABLE events"), 0),
        (("COMMENT ON TABLE users IS 'x'", ADD), 0),
        # No foreign key leads from one to the other, so it matters only where one waits long for the other.
        ((ADD, "ALTER TABLE loose ADD COLUMN d integer"), 0),
        ((ADD, "ALTER TABLE loose ALTER c SET NOT NULL"), 1),
        ((ADD, "ALTER TABLE loose ALTER c TYPE bigint"), 1),
    ],
)
def test_several_tables_locked_in_one_transaction(statements: tuple[str, ...], expected: int) -> None:
    judged = judge(
        recording("before", "CREATE TABLE loose (c integer)", transaction=2),
        recording("r", *statements, transaction=3),
        together=False,
    )

    assert names(judged).count("multi-table-lock") == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((ADD, "UPDATE orders SET c = 1 WHERE c IS NULL", "UPDATE orders SET c = 2 WHERE c = 3"), 1),
        (
            (
                ADD,
                "UPDATE orders SET c = 1 WHERE c IS NULL",
                "UPDATE users SET name = 'x' WHERE name IS NULL",
            ),
            2,
        ),
        # What is done before the lock was taken holds nothing up.
        (("UPDATE orders SET total = 1 WHERE total < 1", ADD, "UPDATE orders SET c = 2 WHERE c = 3"), 1),
    ],
)
def test_changed_rows_are_told_of_once_for_each_table(statements: tuple[str, ...], expected: int) -> None:
    assert found(*statements).count("ddl-and-backfill-one-transaction") == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("UPDATE orders SET note = ''",), ["update-without-where"]),
        (("UPDATE orders SET note = '' WHERE id < 100",), []),
        # EV110 says more of the same statement.
        ((ADD, "UPDATE orders SET c = 1"), ["ddl-and-backfill-one-transaction"]),
        (("CREATE TABLE t (c integer)", "UPDATE t SET c = 1"), []),
        (("DELETE FROM orders",), ["delete-without-where"]),
        (("DELETE FROM orders WHERE id = 1",), []),
        (("CREATE TABLE t (c integer)", "DELETE FROM t"), []),
    ],
)
def test_whole_tables(statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("SELECT 1", "BEGIN", "SELECT 2"), True),
        (("BEGIN", "UPDATE orders SET note = '' WHERE id = 1"), True),
        (("BEGIN", "UPDATE orders SET note = '' WHERE id = 1", "COMMIT"), False),
        (("UPDATE orders SET note = '' WHERE id = 1", "ROLLBACK"), True),
        (("BEGIN", "UPDATE orders SET note = '' WHERE id = 1", "ROLLBACK"), False),
        (("SAVEPOINT a", "RELEASE a"), False),
        (("SAVEPOINT a", "ROLLBACK TO a"), False),
    ],
)
def test_transactions_by_hand(statements: tuple[str, ...], expected: bool) -> None:
    assert ("transaction-nesting" in found(*statements)) is expected


def test_the_savepoint_that_is_one_too_many_is_told_of_once() -> None:
    many = judge(recording("r", *(["SAVEPOINT s", "RELEASE s"] * 200)))

    assert [finding.place.line for finding in many if finding.name == "savepoint-loop"] == [129]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("INSERT INTO t (id) VALUES (1)",), True),
        (("INSERT INTO t (name) VALUES ('a')",), False),
        (("INSERT INTO t (id) VALUES (1)", "SELECT setval('t_id_seq', 1)"), False),
        (("INSERT INTO t (id) VALUES (1)", "SELECT setval(pg_get_serial_sequence('t', 'id'), 1)"), False),
        (("INSERT INTO t (id) VALUES (1)", "SELECT setval('other_seq', 1)"), True),
        (("INSERT INTO t (id) VALUES (1)", "ALTER SEQUENCE t_id_seq RESTART WITH 2"), False),
        (("INSERT INTO t (id) VALUES (1)", "ALTER TABLE t ALTER id RESTART WITH 2"), False),
        (("SELECT setval('t_id_seq', 1)", "INSERT INTO t (id) VALUES (1)"), True),
        (("INSERT INTO t (id) VALUES (1)", "DROP TABLE t"), False),
        (("INSERT INTO users (id, email) VALUES (1, 'a')",), False),
    ],
)
@pytest.mark.parametrize("column", ["serial", "integer GENERATED BY DEFAULT AS IDENTITY"])
def test_numbers_given_by_hand(column: str, statements: tuple[str, ...], expected: bool) -> None:
    make = f"CREATE TABLE t (id {column} PRIMARY KEY, name text)"

    assert ("sequence-not-reset" in found(make, *statements)) is expected


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (
            ("ALTER TABLE orders DISABLE TRIGGER ALL",),
            'all triggers and foreign keys of "orders" are switched off for everybody',
        ),
        (
            ("ALTER TABLE orders DISABLE TRIGGER a", "ALTER TABLE orders ENABLE TRIGGER a"),
            'trigger "a" of "orders" is switched off for this transaction, and writers wait until it ends',
        ),
    ],
)
def test_triggers_that_are_off(statements: tuple[str, ...], message: str) -> None:
    [told] = judge(recording("r", *statements))

    assert told.message == message


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("SET search_path TO archive",), True),
        (("SET LOCAL search_path TO archive, public",), True),
        (("SELECT pg_catalog.set_config('search_path', '', false)",), True),
        (("ALTER ROLE shop SET search_path = archive",), True),
        (("SET search_path TO public, archive",), False),
        (("SET search_path TO archive", "RESET search_path"), False),
        (("SET search_path TO archive", "RESET ALL"), False),
        (("SELECT set_config('search_path', '', false)", "SET search_path TO public"), False),
        (("SELECT set_config('work_mem', '1GB', false)",), False),
        (("ALTER ROLE shop SET work_mem = '1GB'",), False),
    ],
)
def test_the_search_path_stays_changed(statements: tuple[str, ...], expected: bool) -> None:
    assert ("search-path-change" in found(*statements)) is expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("COMMIT",), True),
        (("BEGIN", "COMMIT"), True),
        (("autocommit: BEGIN", "autocommit: COMMIT"), False),
        (("autocommit: BEGIN", "autocommit: COMMIT", "COMMIT"), True),
    ],
)
def test_commit_of_a_transaction_that_alembic_keeps(statements: tuple[str, ...], expected: bool) -> None:
    assert ("alembic-manual-commit" in names(judge(recording("r", *statements)))) is expected
