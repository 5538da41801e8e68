"""Levels, orders of deployment, and what they are worked out from."""

from __future__ import annotations

import pytest
from support.recordings import SHOP, recording

from evolve.lint.engine import Result, check
from evolve.lint.rules import DEFAULT
from evolve.lint.verdict import Compatibility, Level, Order, Verdict, assess, judge
from evolve.report.verdict import lines, shortfall
from evolve.sql.steps import Mark, Recording


def compatibility(*recordings: Recording, together: bool = True) -> Compatibility:
    result, revisions = checked(*recordings, together=together)
    return assess(revisions, result, together=together)


def checked(*recordings: Recording, together: bool) -> tuple[Result, list[str]]:
    shop = recording("shop", SHOP, transaction=0)
    revisions = [each.revision for each in recordings]
    return check([shop, *recordings], DEFAULT, judged=set(revisions), together=together), revisions


def rollout(*sql: str) -> Verdict:
    whole = compatibility(*(recording(f"r{n}", text) for n, text in enumerate(sql))).whole
    assert whole is not None
    return whole


@pytest.mark.parametrize(
    ("sql", "level", "order"),
    [
        ("CREATE INDEX CONCURRENTLY i ON orders (email)", Level.FULL, Order.ANY),
        ("UPDATE orders SET note = '' WHERE id = 1", Level.FULL, Order.ANY),
        ("ALTER TABLE orders ADD COLUMN c text", Level.BACKWARD, Order.MIGRATE_FIRST),
        ("CREATE TABLE t (id bigint PRIMARY KEY)", Level.BACKWARD, Order.MIGRATE_FIRST),
        ("CREATE VIEW v AS SELECT id FROM orders", Level.BACKWARD, Order.MIGRATE_FIRST),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", Level.BACKWARD, Order.MIGRATE_FIRST),
        ("ALTER TABLE users ALTER name TYPE text", Level.BACKWARD, Order.MIGRATE_FIRST),
        ("ALTER TABLE orders ALTER total SET DEFAULT 0", Level.BACKWARD, Order.MIGRATE_FIRST),
        ("ALTER TABLE orders DROP COLUMN note", Level.FORWARD, Order.DEPLOY_FIRST),
        ("DROP TABLE orders", Level.FORWARD, Order.DEPLOY_FIRST),
        ("ALTER TABLE orders DROP COLUMN total", Level.NONE, Order.PHASES),
        ("ALTER TABLE orders RENAME note TO remark", Level.NONE, Order.PHASES),
    ],
)
def test_level_and_order(sql: str, level: Level, order: Order) -> None:
    found = rollout(sql)

    assert (found.level, found.order) == (level, order)


def test_an_addition_says_who_needs_it() -> None:
    assert (
        rollout("ALTER TABLE orders ADD COLUMN c text").why == 'new code that uses "orders.c" needs it first'
    )


def test_phases_name_the_plan() -> None:
    assert rollout("ALTER TABLE orders RENAME note TO remark").plans == (
        "evolve plan rename-column orders.note remark",
    )


@pytest.mark.parametrize(
    "sql",
    [
        ("ALTER TABLE orders ADD COLUMN c text", "ALTER TABLE orders DROP COLUMN c"),
        ("CREATE TABLE t (id bigint)", "ALTER TABLE t ADD COLUMN c text", "DROP TABLE t"),
        ("ALTER TABLE orders ADD COLUMN c text; ALTER TABLE orders DROP COLUMN c",),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT 1'; SELECT f(); DROP FUNCTION f()",),
        ("CREATE SEQUENCE s", "DROP SEQUENCE s"),
    ],
)
def test_what_comes_and_goes_in_one_rollout_is_nothing(sql: tuple[str, ...]) -> None:
    assert rollout(*sql).level is Level.FULL


def test_what_is_added_and_renamed_is_needed_under_its_last_name() -> None:
    found = rollout("ALTER TABLE orders ADD COLUMN c text", "ALTER TABLE orders RENAME c TO d")

    assert found.new == ('new code that uses "orders.d" needs it first',)


def test_opposite_orders_make_one_rollout_need_phases() -> None:
    found = compatibility(
        recording("add", "ALTER TABLE orders ADD COLUMN c text"),
        recording("drop", "ALTER TABLE orders DROP COLUMN note"),
    )

    assert found.whole is not None
    assert (found.whole.order, [each.order for each in found.revisions]) == (
        Order.PHASES,
        [Order.MIGRATE_FIRST, Order.DEPLOY_FIRST],
    )


def test_a_history_is_no_rollout() -> None:
    found = compatibility(recording("a", "CREATE TABLE t (id bigint)"), together=False)

    assert (found.whole, [each.level for each in found.revisions]) == (None, [Level.BACKWARD])


def test_a_not_null_check_that_served_its_proof_is_not_missed() -> None:
    sql = (
        "ALTER TABLE orders ADD CONSTRAINT c CHECK (email IS NOT NULL) NOT VALID",
        "ALTER TABLE orders VALIDATE CONSTRAINT c",
        "ALTER TABLE orders ALTER email SET NOT NULL; ALTER TABLE orders DROP CONSTRAINT c",
    )

    assert not rollout(*sql).breaks_new_code


def test_what_was_not_read_is_not_called_compatible() -> None:
    assert not compatibility(recording("r", "ALTER TABLE orders MODIFY note text")).complete


@pytest.mark.parametrize(
    ("required", "met"),
    [
        (Level.FULL, {Level.FULL}),
        (Level.BACKWARD, {Level.FULL, Level.BACKWARD}),
        (Level.FORWARD, {Level.FULL, Level.FORWARD}),
    ],
)
def test_requirement(required: Level, met: set[Level]) -> None:
    verdicts = [Verdict((), old, new) for old in ((), ("old",)) for new in ((), ("new",))]

    assert {each.level for each in verdicts if each.meets(required)} == met


def test_a_window_counts_what_one_rollout_would_not() -> None:
    """Each revision is judged as if all before it were in use: releases between them run somewhere."""
    comes_and_goes = (
        recording("a", "ALTER TABLE orders ADD COLUMN c text"),
        recording("b", "ALTER TABLE orders DROP COLUMN c"),
    )
    result, revisions = checked(*comes_and_goes, together=False)

    window = judge(revisions, result.findings, result.needs)

    assert (window.level, compatibility(*comes_and_goes).whole.level) == (Level.NONE, Level.FULL)  # type: ignore[union-attr]


def test_names_over_a_window() -> None:
    assert [level.transitive for level in Level] == [
        "FULL_TRANSITIVE",
        "BACKWARD_TRANSITIVE",
        "FORWARD_TRANSITIVE",
        "NONE",
    ]


def test_the_reason_speaks_of_code_where_one_does() -> None:
    """NOT NULL reads every row, which is no reason for an order; the column that goes is one."""
    found = rollout("ALTER TABLE orders ALTER note SET NOT NULL; ALTER TABLE orders DROP COLUMN email")

    assert found.why.startswith('"orders.email" is dropped')


def test_an_order_has_its_reason_beside_a_plan() -> None:
    found = compatibility(recording("a", "ALTER TABLE orders ALTER note SET NOT NULL"))

    assert next(line for line in lines(found, verbose=False) if "deploy" in line).startswith(
        '  deploy, then migrate: NOT NULL on "orders.note"'
    )


def test_what_falls_short_is_named() -> None:
    verdicts = [
        Verdict(("a",), new=("it is new",)),
        Verdict(("b", "c", "d", "e"), old=("it is gone",), new=("it is new",)),
    ]

    assert shortfall(Level.FULL, verdicts).splitlines() == [
        "FULL is required, and not met: a is BACKWARD: it is new",
        "FULL is required, and not met: b, c, d and 1 more are NONE: it is gone; it is new",
    ]


@pytest.mark.parametrize("mark", [Mark.READ_ROWS, Mark.UNREACHED, Mark.UNKNOWN_OPERATION, Mark.RAISED])
def test_a_verdict_on_what_was_read_in_part_says_so(mark: Mark) -> None:
    assert not compatibility(recording("a", "SELECT 1", remarks=((mark, 1),))).complete
