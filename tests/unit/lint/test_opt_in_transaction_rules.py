"""Opt-in rules about transactions, the session and data, and those that need facts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.facts import TAKEN, facts, relation
from support.recordings import SHOP, judge, recording

from evolve.lint.engine import check
from evolve.lint.rules import ALL
from evolve.lint.rules.partitions import RULES as PARTITIONS
from evolve.lint.rules.transactions import RULES as TRANSACTIONS
from evolve.sql.steps import Recording

ADD = "ALTER TABLE orders ADD COLUMN c integer"
NAMES = {rule.name: rule for rule in (*PARTITIONS, *TRANSACTIONS)}
GB = 1_000_000_000


def lines(name: str, *recordings: Recording) -> list[tuple[str, int]]:
    found = judge(*recordings, rules=ALL)
    return [(finding.revision, finding.place.line) for finding in found if finding.name == name]


def in_one(name: str, *statements: str) -> list[int]:
    return [line for _, line in lines(name, recording("r", *statements))]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((ADD,), [1]),
        ((ADD, "ALTER TABLE users ADD COLUMN c integer"), [1]),
        (("SET lock_timeout = '2s'", ADD), []),
        (("SET LOCAL lock_timeout = '2s'", ADD), []),
        (("SET lock_timeout = 0", ADD), [2]),
        (("SET lock_timeout = '2s'", "RESET lock_timeout", ADD), [3]),
        (("SET lock_timeout = '2s'", "RESET ALL", ADD), [3]),
        (("SET statement_timeout = '2s'", ADD), [2]),
        (("CREATE TABLE t (id bigint)", "ALTER TABLE t ADD COLUMN c integer"), []),
        (("UPDATE orders SET note = '' WHERE id = 1",), []),
        (("COMMENT ON TABLE orders IS 'x'",), []),
        (("autocommit: CREATE INDEX CONCURRENTLY i ON orders (email)",), []),
        # A new table with a foreign key stops the writers of its target.
        (("CREATE TABLE t (user_id bigint REFERENCES users)",), [1]),
    ],
)
def test_a_missing_lock_timeout(statements: tuple[str, ...], expected: list[int]) -> None:
    assert in_one("missing-lock-timeout", *statements) == expected


def test_a_local_timeout_ends_with_its_transaction() -> None:
    first = recording("a", "SET LOCAL lock_timeout = '2s'", ADD, transaction=1)
    second = recording("b", "ALTER TABLE orders ADD COLUMN d integer", transaction=2)

    assert lines("missing-lock-timeout", first, second) == [("b", 1)]


def test_a_timeout_of_the_session_lasts() -> None:
    first = recording("a", "SET lock_timeout = '2s'", ADD, transaction=1)
    second = recording("b", "ALTER TABLE orders ADD COLUMN d integer", transaction=2)

    assert lines("missing-lock-timeout", first, second) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [("'5min'", True), ("60000", True), ("'1 h'", True), ("'2s'", False), ("500", False), ("0", False)],
)
def test_timeouts_that_are_too_long(value: str, expected: bool) -> None:
    assert bool(in_one("timeout-too-long", f"SET lock_timeout = {value}")) is expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("SET lock_timeout = 0",), True),
        (("SET statement_timeout = '0s'",), True),
        (("SET work_mem = 0",), False),
        (("SET statement_timeout = 0", "autocommit: CREATE INDEX CONCURRENTLY i ON orders (email)"), False),
    ],
)
def test_timeouts_that_are_off(statements: tuple[str, ...], expected: bool) -> None:
    assert bool(in_one("timeout-zero", *statements)) is expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((ADD, "SET LOCAL lock_timeout = '2s'"), [2]),
        (("SET LOCAL lock_timeout = '2s'", ADD, "SET LOCAL lock_timeout = '5s'"), []),
        (("CREATE TABLE t (id bigint)", "SET LOCAL lock_timeout = '2s'"), []),
    ],
)
def test_timeouts_that_come_late(statements: tuple[str, ...], expected: list[int]) -> None:
    assert in_one("timeout-set-late", *statements) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((ADD, "ALTER TABLE orders ADD COLUMN d integer"), [2]),
        ((ADD, "ALTER TABLE users ADD COLUMN d integer"), []),
        (("ALTER TABLE orders ADD COLUMN c integer, ADD COLUMN d integer",), []),
        (
            (
                "ALTER TABLE orders ADD CONSTRAINT p CHECK (total > 0) NOT VALID",
                "ALTER TABLE orders VALIDATE CONSTRAINT p",
            ),
            [],
        ),
        (("ALTER TABLE orders ALTER email SET NOT NULL", "ALTER TABLE orders DROP CONSTRAINT p"), []),
    ],
)
def test_statements_that_could_be_one(statements: tuple[str, ...], expected: list[int]) -> None:
    assert in_one("merge-alters", *statements) == expected


def test_a_table_that_a_rollout_locks_three_times() -> None:
    revisions = [
        recording(name, f"ALTER TABLE orders ADD COLUMN {name} integer", transaction=number)
        for number, name in enumerate("abc", 1)
    ]

    assert lines("hot-table-multi-touch", *revisions) == [("c", 1)]
    assert lines("hot-table-multi-touch", *revisions[:2]) == []


def test_several_changes_in_one_transaction_are_one_lock() -> None:
    changes = [f"ALTER TABLE orders ADD COLUMN {name} integer" for name in "abc"]

    assert in_one("hot-table-multi-touch", *changes) == []


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (("autocommit: DROP INDEX CONCURRENTLY by_name", "autocommit: DROP INDEX CONCURRENTLY by_nick"), [1]),
        (("autocommit: DROP INDEX CONCURRENTLY by_name",), []),
        (("autocommit: SET lock_timeout = 0", "autocommit: DROP INDEX CONCURRENTLY by_name"), []),
        ((ADD, "ALTER TABLE users ADD COLUMN c integer"), []),
    ],
)
def test_revisions_that_can_stop_halfway(statements: tuple[str, ...], expected: list[int]) -> None:
    assert in_one("shard-order", *statements) == expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("CREATE TABLE t (id bigserial)", 1),
        ("CREATE TABLE t (id uuid PRIMARY KEY)", 0),
        ("CREATE TABLE t (id uuid, user_id bigint REFERENCES users, UNIQUE (user_id))", 2),
        ("ALTER TABLE orders ADD UNIQUE (email)", 1),
        ("CREATE INDEX i ON orders (email)", 0),
    ],
)
def test_keys_within_one_shard(statement: str, expected: int) -> None:
    assert len(in_one("shard-local-key", statement)) == expected


# -- with facts -----------------------------------------------------------------------------------------------------
LARGE = relation("orders", rows=40_000_000, heap=90 * GB, index=20 * GB, writes=40_000_000)
SMALL = relation("users", rows=500, heap=80_000, writes=0)


def with_facts(name: str, *statements: str) -> list[str]:
    result = check(
        [recording("shop", SHOP, transaction=0), recording("r", *statements)],
        [NAMES[name]],
        judged={"r"},
        facts=facts(LARGE, SMALL, since=TAKEN - timedelta(days=1)),
    )
    return [finding.message for finding in result.findings]


@pytest.mark.parametrize(
    ("name", "statement", "expected"),
    [
        ("update-large", "UPDATE orders SET note = '' WHERE note IS NULL", True),
        ("update-large", "UPDATE orders SET note = '' WHERE id < 100", False),
        ("update-large", "DELETE FROM orders WHERE email IS NULL", True),
        ("update-large", "UPDATE users SET name = '' WHERE name IS NULL", False),
        ("update-large", "UPDATE people SET name = '' WHERE email IS NULL", False),
        ("update-without-where", "UPDATE users SET name = ''", False),
        ("update-without-where", "UPDATE people SET name = ''", True),
        ("long-build", "autocommit: CREATE INDEX CONCURRENTLY i ON orders (email)", True),
        ("long-build", "autocommit: CREATE INDEX CONCURRENTLY i ON users (name)", False),
        ("replication-lag", "UPDATE orders SET note = ''", True),
        ("replication-lag", "ALTER TABLE orders ALTER id TYPE numeric", True),
        ("replication-lag", "TRUNCATE orders", False),
        ("replication-lag", ADD, False),
        ("disk-headroom", "ALTER TABLE orders ALTER id TYPE numeric", True),
        ("disk-headroom", "TRUNCATE orders", False),
        ("disk-headroom", "ALTER TABLE users ALTER id TYPE numeric", False),
        ("write-hot-table", ADD, True),
        ("write-hot-table", "ALTER TABLE users ADD COLUMN c integer", False),
        ("write-hot-table", "ALTER TABLE orders ALTER email SET NOT NULL", False),
        ("hot-update-loss", "autocommit: CREATE INDEX CONCURRENTLY i ON orders (email)", False),
    ],
)
def test_what_sizes_say(name: str, statement: str, expected: bool) -> None:
    assert bool(with_facts(name, statement)) is expected


@pytest.mark.parametrize(
    "name",
    [
        "update-large",
        "replication-lag",
        "disk-headroom",
        "long-build",
        "write-hot-table",
        "hot-update-loss",
    ],
)
def test_without_facts_there_is_nothing_to_say(name: str) -> None:
    statements = (
        ADD,
        "UPDATE orders SET note = '' WHERE note IS NULL",
        "autocommit: CREATE INDEX CONCURRENTLY i ON orders (email)",
    )

    assert in_one(name, *statements) == []
