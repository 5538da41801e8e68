"""What the settings say of retention, and what a comment says of a table that left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evolve.partition.retention import (
    Detached,
    Retention,
    detached_comment,
    for_partitioner,
    is_ours,
    leaving_comment,
    read_detached,
    read_retention,
)
from evolve.plugin_api import Problems
from evolve.sql.names import QualifiedName

TABLE = QualifiedName("orders")
MOMENT = datetime(2027, 3, 1, 4, 5, tzinfo=UTC)
BOUND = "FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')"
MADE = "made by evolve: partition of orders"


def test_a_policy_is_read_whole() -> None:
    given = {"keep": "24 months", "grace": "2 weeks", "archive": "parquet", "then": "keep"}
    assert read_retention({"retention": given}) == Retention(timedelta(weeks=2), "parquet", "keep")


def test_a_span_alone_means_a_week_and_then_a_drop() -> None:
    assert read_retention({"retention": "24 months"}) == Retention(timedelta(days=7), None, "drop")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grace", 7),
        ("grace", "7 eons"),
        ("archive", ""),
        ("then", "shred"),
        ("detach", "plainly"),
        ("graec", "1 day"),
    ],
)
def test_what_makes_no_sense_is_a_problem_of_its_field(field: str, value: object) -> None:
    found = read_retention({"retention": {"keep": "1 month", field: value}})
    assert isinstance(found, Problems)
    assert [problem.field for problem in found.found] == [f"retention.{field}"]


def test_the_partitioner_is_told_only_what_is_its_own() -> None:
    options = {"key": "at", "retention": {"keep": "1 month", "grace": "2 days", "archive": "parquet"}}
    assert for_partitioner(options) == {"key": "at", "retention": {"keep": "1 month"}}


def test_a_comment_tells_when_it_left_and_what_it_took() -> None:
    comment = detached_comment(TABLE, MOMENT, BOUND, MADE)
    assert read_detached("orders_p2027_01", comment, TABLE) == Detached("orders_p2027_01", MOMENT, BOUND)


def test_a_table_that_leaves_is_told_from_one_half_made() -> None:
    assert read_detached("p", leaving_comment(TABLE, BOUND, MADE), TABLE) == Detached("p", None, BOUND)
    assert read_detached("orders_p2027_01", MADE, TABLE) is None


@pytest.mark.parametrize("before", ["what we owe", f"{MADE}, adopted; what we owe", "a\nb; c"])
def test_what_a_person_wrote_there_stays(before: str) -> None:
    left = detached_comment(TABLE, MOMENT, BOUND, leaving_comment(TABLE, BOUND, before))
    assert left.split("\n", 1)[1] == before.removeprefix(f"{MADE}, adopted; ")
    assert read_detached("p", left, TABLE) == Detached("p", MOMENT, BOUND)


@pytest.mark.parametrize(
    "comment",
    [
        None,
        "detached from orders at 2027-03-01T04:05:00+00:00 DEFAULT",
        "made by evolve: detached from other at 2027-03-01T04:05:00+00:00 DEFAULT",
        "made by evolve: detached from orders at 2027-99-01T04:05:00+00:00 DEFAULT",
        "made by evolve: detached from orders at 2027-03-01T04:05:00 DEFAULT",
        f"{MADE}\nmade by evolve: detached from orders at 2027-03-01T04:05:00+00:00 DEFAULT",
    ],
)
def test_nothing_else_is_taken_for_a_table_that_left(comment: str | None) -> None:
    assert read_detached("p", comment, TABLE) is None


def test_only_a_mark_at_the_beginning_is_ours() -> None:
    assert is_ours(MADE)
    assert not is_ours(f"not {MADE}")
