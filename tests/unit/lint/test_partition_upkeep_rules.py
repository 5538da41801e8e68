"""What rules find in revisions that make partitions and let them go, and what looks like a hazard and is none."""

from __future__ import annotations

import pytest
from support.recordings import judge, recording

LOG = "CREATE TABLE log (id bigint, user_id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at)"
KEYED = "CREATE TABLE log (id bigint, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)"
JANUARY = "FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')"
FEBRUARY = "FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')"
EARLY = "FOR VALUES FROM ('2026-01-01') TO ('2026-01-10')"
ONE = f"CREATE TABLE log_1 PARTITION OF log {JANUARY}"
NEW = "CREATE TABLE log_2 (LIKE log)"
JOIN = f"ALTER TABLE log ATTACH PARTITION log_2 {FEBRUARY}"
LEAVE = "ALTER TABLE log DETACH PARTITION log_1"
KEY = "FOREIGN KEY (user_id) REFERENCES users (id)"
ADD = f"ALTER TABLE log ADD CONSTRAINT fk {KEY}"
EACH = f"ALTER TABLE log_1 ADD CONSTRAINT fk {KEY} NOT VALID"
VALID = "ALTER TABLE log_1 VALIDATE CONSTRAINT fk"


def found(name: str, *statements: str, before: tuple[str, ...] = (LOG, ONE), version: int = 15) -> list[str]:
    """Messages of one rule about `statements` after `before`, which is in use."""
    made = recording("before", *before, transaction=7)
    judged = judge(made, recording("r", *statements, transaction=8), together=False, version=version)
    return [each.message for each in judged if each.revision == "r" and each.name == name]


@pytest.mark.parametrize(
    ("statements", "count"),
    [
        (("DROP TABLE log_1",), 1),
        ((f"autocommit:{LEAVE} CONCURRENTLY", "autocommit:DROP TABLE log_1"), 0),
        (("DROP TABLE log",), 0),
        ((NEW, JOIN, "DROP TABLE log_2"), 1),
    ],
)
def test_a_drop_of_what_is_attached(statements: tuple[str, ...], count: int) -> None:
    assert len(found("drop-attached-partition", *statements)) == count


def test_a_partition_of_a_table_that_nobody_uses_yet_may_go() -> None:
    assert found("drop-attached-partition", LOG, ONE, "DROP TABLE log_1", before=()) == []


@pytest.mark.parametrize(
    ("statements", "count"),
    [
        ((NEW, JOIN, LEAVE), 1),
        ((LEAVE, NEW, JOIN), 1),
        ((NEW, JOIN, "DROP TABLE log_1"), 1),
        ((NEW, JOIN, f"autocommit:{LEAVE} CONCURRENTLY"), 0),
        # A split: what comes holds keys of what goes.
        ((LEAVE, NEW, f"ALTER TABLE log ATTACH PARTITION log_2 {EARLY}"), 0),
    ],
)
def test_new_and_old_partitions_in_one_transaction(statements: tuple[str, ...], count: int) -> None:
    assert len(found("premake-with-retention", *statements)) == count


@pytest.mark.parametrize(("version", "count"), [(14, 1), (16, 1), (17, 0), (18, 0)])
def test_an_identity_that_is_attached(version: int, count: int) -> None:
    other = (
        "CREATE TABLE log_2 (id bigint GENERATED ALWAYS AS IDENTITY, user_id bigint, at timestamptz NOT NULL)"
    )
    messages = found("attach-partition-identity", JOIN, before=(LOG, other), version=version)
    assert len(messages) == count


def test_a_foreign_key_that_goes_for_all_partitions_is_named() -> None:
    other = "CREATE TABLE marks (id bigint, at timestamptz, CONSTRAINT marked FOREIGN KEY (id, at) REFERENCES log)"
    messages = found("drop-cascade", "DROP TABLE log_1 CASCADE", before=(KEYED, ONE, other))
    assert messages == ['CASCADE drops with "log_1": the foreign key "marked" of "marks" to all of "log"']


@pytest.mark.parametrize(
    ("before", "count"),
    [((), 1), ((EACH,), 1), ((EACH, VALID), 0)],
    ids=["nothing", "not valid", "validated"],
)
def test_a_foreign_key_that_each_partition_has(before: tuple[str, ...], count: int) -> None:
    assert len(found("add-fk-validated", ADD, before=(LOG, ONE, *before))) == count
