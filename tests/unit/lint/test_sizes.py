"""What facts do to findings: small tables are quieted, hot and large ones raised, seconds estimated."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.facts import TAKEN, facts, relation
from support.recordings import SHOP, recording

from evolve.lint.engine import check
from evolve.lint.facts import Facts, RelationFacts
from evolve.lint.model import Finding, Severity
from evolve.lint.rules import DEFAULT
from evolve.lint.sizes import unknown_tables
from evolve.lint.thresholds import Thresholds
from evolve.sql.names import QualifiedName

GB = 1_000_000_000
HOUR = 3_600

BUILD = "CREATE INDEX by_note ON orders (note)"
ADD_KEY = "ALTER TABLE orders ADD CONSTRAINT people_fk FOREIGN KEY (user_id) REFERENCES people"


def judged(sql: str, known: Facts | None, name: str, thresholds: Thresholds | None = None) -> Finding:
    """The one finding of rule `name` about `sql`, in the shop."""
    result = check(
        [recording("shop", SHOP, transaction=0), recording("r", sql)],
        DEFAULT,
        judged={"r"},
        postgres_version=15,
        facts=known,
        thresholds=thresholds,
    )
    (found,) = [finding for finding in result.findings if finding.name == name]
    return found


def large(name: str, *, writes: int | None = 0, heap: int = GB) -> Facts:
    return facts(
        relation(name, rows=10_000_000, heap=heap, writes=writes), since=TAKEN - timedelta(seconds=HOUR)
    )


def test_without_facts_nothing_is_weighed() -> None:
    assert judged(BUILD, None, "create-index-blocking").weight is None


def test_work_on_a_small_table_is_information() -> None:
    found = judged(BUILD, facts(relation("orders")), "create-index-blocking")

    assert found.severity is Severity.INFO
    assert found.quieted


@pytest.mark.parametrize(
    "known",
    [
        relation("orders", rows=10_001),
        relation("orders", rows=10, heap=20_000_000),
        relation("orders", rows=None, heap=20_000_000),
        relation("users"),
    ],
    ids=["rows", "bytes", "rows unknown", "table unknown"],
)
def test_work_on_other_tables_is_what_it_was(known: RelationFacts) -> None:
    before = judged(BUILD, None, "create-index-blocking")

    assert judged(BUILD, facts(known), "create-index-blocking").severity is before.severity


def test_what_fails_is_not_quieted() -> None:
    found = judged(
        "ALTER TABLE orders ADD COLUMN tax numeric NOT NULL", facts(relation("orders")), "add-column-required"
    )

    assert found.severity is Severity.ERROR


def test_what_breaks_code_is_not_quieted() -> None:
    found = judged("ALTER TABLE orders DROP COLUMN note", facts(relation("orders")), "drop-column")

    assert not found.quieted


def test_a_key_from_a_small_table_that_locks_a_large_one_is_not_quieted() -> None:
    known = facts(relation("orders"), relation("people", rows=10_000_000, heap=GB))

    assert not judged(ADD_KEY, known, "add-fk-validated").quieted


def test_a_key_between_small_tables_is() -> None:
    known = facts(relation("orders"), relation("people"))

    assert judged(ADD_KEY, known, "add-fk-validated").quieted


def test_a_small_table_that_is_hot_is_not_quieted() -> None:
    known = facts(relation("orders", writes=500 * HOUR), since=TAKEN - timedelta(seconds=HOUR))

    found = judged(BUILD, known, "create-index-blocking")

    assert found.message.endswith('; "orders" takes 500 writes/s')


def test_a_hot_table_makes_findings_more_severe() -> None:
    sql = "DROP INDEX by_user_and_status"
    before = judged(sql, large("orders"), "drop-index-blocking")
    after = judged(sql, large("orders", writes=4_200 * HOUR), "drop-index-blocking")

    assert after.severity == min(before.severity + 1, Severity.ERROR)
    assert "4,200 writes/s" in after.message


def test_thresholds_are_the_users_own() -> None:
    known = facts(relation("orders", rows=50_000))

    assert judged(BUILD, known, "create-index-blocking", Thresholds(small_rows=50_000)).quieted


# -- seconds ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sql", "name", "seconds"),
    [
        ("ALTER TABLE orders ALTER note SET NOT NULL", "set-not-null-scan", 1000 / 200),
        (BUILD, "create-index-blocking", 1000 / 50),
        # The table, and the one index that `relation` gives it.
        ("ALTER TABLE orders ADD COLUMN n bigserial", None, 1000 / 50 + 1000 / 50),
    ],
)
def test_seconds_are_bytes_by_throughput(sql: str, name: str | None, seconds: float) -> None:
    result = check(
        [recording("shop", SHOP, transaction=0), recording("r", sql)],
        DEFAULT,
        judged={"r"},
        facts=large("orders"),
    )
    weights = [
        finding.weight
        for finding in result.findings
        if finding.weight and finding.weight.seconds is not None and name in (None, finding.name)
    ]

    assert {weight.seconds for weight in weights} == {seconds}


def test_seconds_of_a_partitioned_table_are_those_of_all_partitions_that_the_facts_know() -> None:
    known = facts(
        relation("events", kind="partitioned table", rows=0, heap=0),
        relation("events_2026", partition_of="events", rows=10_000_000, heap=GB),
        relation("events_2027", partition_of="events", rows=10_000_000, heap=GB),
    )

    found = judged("ALTER TABLE events ALTER id SET NOT NULL", known, "set-not-null-scan")

    assert found.weight is not None
    assert found.weight.seconds == 2 * 1000 / 200
    assert found.weight.rows == 20_000_000


# -- what the facts do not know ----------------------------------------------------------------------------------------
def test_tables_that_the_facts_lack_are_named() -> None:
    known = facts(relation("orders"))

    assert unknown_tables([QualifiedName("users"), QualifiedName("orders")], known) == (
        QualifiedName("users"),
    )
