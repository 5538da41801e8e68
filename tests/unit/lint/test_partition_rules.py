"""What rules about partitions, publications and extensions find, and what looks like a hazard and is none."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.rules.partitions import RULES

OURS = frozenset(rule.name for rule in RULES)
LOG = "CREATE TABLE log (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at)"
TABLE = "CREATE TABLE log_1 (id bigint, at timestamptz NOT NULL)"
JANUARY = "FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')"
IN_JANUARY = "CHECK (at IS NOT NULL AND at >= '2026-01-01' AND at < '2026-02-01')"


def found(*statements: str, before: tuple[str, ...] = ()) -> list[str]:
    """What is found in `statements` after `before`, which is in use."""
    made = recording("before", *before, transaction=7)
    judged = judge(made, recording("r", *statements, transaction=8), together=False)
    return [finding.name for finding in judged if finding.revision == "r" and finding.name in OURS]


@pytest.mark.parametrize(
    ("before", "statements", "expected"),
    [
        ((LOG,), (f"CREATE TABLE log_1 PARTITION OF log {JANUARY}",), ["create-partition-of"]),
        ((), (LOG, f"CREATE TABLE log_1 PARTITION OF log {JANUARY}"), []),
        ((LOG,), (TABLE, f"ALTER TABLE log ATTACH PARTITION log_1 {JANUARY}"), []),
        ((LOG, TABLE), (f"ALTER TABLE log ATTACH PARTITION log_1 {JANUARY}",), ["attach-partition-no-check"]),
        (
            (LOG, TABLE, f"ALTER TABLE log_1 ADD {IN_JANUARY}"),
            (f"ALTER TABLE log ATTACH PARTITION log_1 {JANUARY}",),
            [],
        ),
        (
            (LOG, TABLE, f"ALTER TABLE log_1 ADD {IN_JANUARY} NOT VALID"),
            (f"ALTER TABLE log ATTACH PARTITION log_1 {JANUARY}",),
            ["attach-partition-no-check"],
        ),
        (
            (LOG, "CREATE TABLE log_d PARTITION OF log DEFAULT"),
            (TABLE, f"ALTER TABLE log ATTACH PARTITION log_1 {JANUARY}"),
            ["attach-partition-default-scan"],
        ),
        (
            (
                LOG,
                "CREATE TABLE log_d PARTITION OF log DEFAULT",
                "ALTER TABLE log_d ADD CHECK (at < '2026-01-01' OR at >= '2026-02-01')",
            ),
            (TABLE, f"ALTER TABLE log ATTACH PARTITION log_1 {JANUARY}"),
            [],
        ),
        (
            (LOG, "CREATE INDEX ON log (id)", TABLE, f"ALTER TABLE log_1 ADD {IN_JANUARY}"),
            (f"ALTER TABLE log ATTACH PARTITION log_1 {JANUARY}",),
            ["attach-partition-builds-index"],
        ),
        (
            (
                LOG,
                "CREATE INDEX ON log (id)",
                TABLE,
                f"ALTER TABLE log_1 ADD {IN_JANUARY}",
                "CREATE INDEX any_name ON log_1 (id)",
            ),
            (f"ALTER TABLE log ATTACH PARTITION log_1 {JANUARY}",),
            [],
        ),
        ((), ("ALTER TABLE events DETACH PARTITION events_2026",), ["detach-partition-blocking"]),
        ((), ("autocommit: ALTER TABLE events DETACH PARTITION events_2026 CONCURRENTLY",), []),
        ((), ("autocommit: ALTER TABLE events DETACH PARTITION events_2026 FINALIZE",), []),
        ((), ("ALTER TABLE events ADD PRIMARY KEY (id)",), ["partition-key-not-in-pk"]),
        ((), ("ALTER TABLE events ADD PRIMARY KEY (year, id)",), []),
        ((), ("CREATE UNIQUE INDEX i ON ONLY events (id)",), ["partition-key-not-in-pk"]),
        ((), ("ALTER TABLE events_2026 ADD UNIQUE (id)",), []),
        ((), ("CREATE TABLE t (a integer PRIMARY KEY) PARTITION BY HASH (a)",), []),
        (
            (),
            ("CREATE TABLE t (a integer UNIQUE, b integer) PARTITION BY HASH (b)",),
            ["partition-key-not-in-pk"],
        ),
        # Three partitions are not many.
        ((), ("ALTER TABLE events ADD COLUMN c integer",), []),
    ],
)
def test_partitions(before: tuple[str, ...], statements: tuple[str, ...], expected: list[str]) -> None:
    assert found(*statements, before=before) == expected


@pytest.mark.parametrize(
    ("call", "statement", "expected"),
    [
        (
            "SELECT create_hypertable('orders', 'placed')",
            "autocommit: CREATE INDEX CONCURRENTLY i ON orders (total)",
            True,
        ),
        ("SELECT create_hypertable('orders', 'placed')", "ALTER TABLE orders ADD COLUMN c integer", False),
        ("SELECT create_distributed_table('orders', 'id')", "ALTER TABLE orders ADD UNIQUE (email)", True),
        ("SELECT create_reference_table('users')", "ALTER TABLE orders ALTER id TYPE numeric", False),
        ("SELECT partman.create_parent('public.events', 'year')", "DROP TABLE events_2026", True),
        ("SELECT partman.create_parent('public.events', 'year')", "DROP TABLE orders", False),
    ],
)
def test_tables_that_an_extension_looks_after(call: str, statement: str, expected: bool) -> None:
    assert ("managed-table-ddl" in found(statement, before=(call,))) is expected


@pytest.mark.parametrize(
    ("publish", "statement", "expected"),
    [
        ("FOR TABLE orders (id, note)", "ALTER TABLE orders DROP COLUMN note", ["publication-column-list"]),
        (
            "FOR TABLE orders (id, note)",
            "ALTER TABLE orders ALTER note TYPE varchar",
            ["publication-column-list"],
        ),
        ("FOR TABLE orders WHERE (total > 0)", "ALTER TABLE orders DROP total", ["publication-column-list"]),
        ("FOR TABLE orders (id, note)", "ALTER TABLE orders DROP COLUMN email", []),
        ("FOR TABLE orders", "ALTER TABLE orders DROP COLUMN note", []),
        ("FOR TABLE orders (id)", "ALTER TABLE orders ADD COLUMN c text", ["publication-subscriber-first"]),
        ("FOR TABLE orders (id)", "ALTER TABLE orders RENAME note TO n", []),
        ("FOR TABLE orders", "ALTER TABLE orders RENAME note TO n", ["publication-subscriber-first"]),
        ("FOR ALL TABLES", "ALTER TABLE users ADD COLUMN c text", ["publication-subscriber-first"]),
        ("FOR TABLE orders", "ALTER TABLE users ADD COLUMN c text", []),
        ("FOR TABLE events", "ALTER TABLE events_2026 RENAME TO e", ["publication-subscriber-first"]),
    ],
)
def test_publications(publish: str, statement: str, expected: list[str]) -> None:
    assert found(statement, before=(f"CREATE PUBLICATION p {publish}",)) == expected


def test_a_dropped_extension_is_worse_with_cascade() -> None:
    told = judge(recording("r", "DROP EXTENSION citext", "DROP EXTENSION hstore CASCADE"))

    assert [str(finding.severity) for finding in told] == ["warning", "error"]


def test_names_with_capitals_come_back_in_the_safe_form() -> None:
    setup = 'CREATE TABLE "Log" (id bigint, "At" integer NOT NULL) PARTITION BY RANGE ("At")'
    make = 'CREATE TABLE "Log_1" (id bigint, "At" integer NOT NULL)'
    attach = 'ALTER TABLE "Log" ATTACH PARTITION "Log_1" FOR VALUES FROM (1) TO (2)'
    before = recording("before", setup, make, transaction=7)

    told = judge(before, recording("r", attach, transaction=8), together=False)
    [safe] = [finding.safe for finding in told if finding.name == "attach-partition-no-check"]

    assert '\\"At\\" IS NOT NULL AND \\"At\\" >= 1 AND \\"At\\" < 2' in safe[0]
    assert 'ATTACH PARTITION \\"Log_1\\" FOR VALUES FROM (1) TO (2)' in safe[2]


@pytest.mark.parametrize("default", [True, False])
def test_no_partition_leaves_concurrently_beside_a_default(default: bool) -> None:
    made = ("CREATE TABLE events_rest PARTITION OF events DEFAULT",) if default else ()
    before = recording("before", "SELECT 1", *made)
    revision = recording("r", "autocommit: ALTER TABLE events DETACH PARTITION events_2026 CONCURRENTLY")

    found = names(judge(before, revision, together=False))

    assert ("detach-concurrently-default" in found) is default
