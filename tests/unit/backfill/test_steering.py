"""What workers make of what operators say."""

from __future__ import annotations

import json

import pytest

from evolve.app.backfill_work import Pace
from evolve.backfill.approval import ApprovalRule
from evolve.backfill.settings import OFF, BadDuration, Settings, duration
from evolve.backfill.steering import ASK_AGAIN, Brake, Desk, Doing, Held, Orders, Steered, Steering
from evolve.backfill.throttle import RowsPerSecond, Throttle
from evolve.sql.names import QualifiedName

DEFAULTS = Settings(target=20, duty=1, rows=OFF, wal=OFF, batch=50_000, lag=64e6)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def steering(clock: Clock | None = None, **orders: object) -> Steering:
    return Steering(Settings(), DEFAULTS, Orders(**orders), clock or Clock())  # type: ignore[arg-type]


def orders(settings: object = None, brake: object = None) -> str:
    return json.dumps([settings or {}, {}, brake])


def test_what_was_set_stands_above_the_own_command_line_and_that_above_the_start() -> None:
    found = Steering(
        Settings(duty=0.5, rows=20),
        DEFAULTS,
        Orders(settings=Settings(duty=0.1), pace=Settings(duty=0.9, rows=10, batch=30)),
        Clock(),
    ).settings
    assert found == Settings(duty=0.1, rows=20, batch=30).over(DEFAULTS)


def test_an_order_that_is_heard_takes_the_place_of_the_one_before() -> None:
    found = steering(settings=Settings(duty=0.5))
    found.hear(orders({"rows": 7}))
    assert found.settings == Settings(rows=7).over(DEFAULTS)


def test_a_brake_holds_until_its_end_by_the_seconds_that_were_left() -> None:
    clock = Clock()
    held = Held(found := steering(clock, brake=Brake(0, "lunch", "me@here", 90)))
    hold = held.hold()
    assert hold is not None
    assert (hold.seconds, hold.reason) == (ASK_AGAIN, "held by me@here: lunch")
    clock.now = 91
    assert held.hold() is None
    found.hear(orders(brake={"share": 0, "reason": "", "actor": "you", "left": 5}))
    clock.now = 95
    again = held.hold()
    assert again is not None
    assert again.reason == "held by you"


def test_a_brake_that_slows_never_speeds_up() -> None:
    clock = Clock()
    found = steering(clock, brake=Brake(0.5, "", "me", 10), settings=Settings(duty=0.3))
    assert found.settings.duty == 0.3
    found.hear(orders(brake={"share": 0.1, "actor": "me", "left": 10}))
    assert found.settings.duty == 0.1
    clock.now = 11
    assert found.settings.duty == 1


def test_limits_that_are_made_anew_forget_what_the_old_ones_waited_for() -> None:
    clock = Clock()
    found = steering(clock, settings=Settings(rows=1))

    def build(settings: Settings) -> Throttle:
        return RowsPerSecond(settings.rows or 1, clock)

    limits = Steered(found, build)
    limits.committed(1000, 0.1)
    assert limits.hold() is not None
    found.hear(orders({"rows": 5000}))
    assert limits.hold() is None


def test_a_worker_writes_down_what_it_does_once_a_second_and_aims_at_what_it_hears() -> None:
    clock = Clock()
    aimed: list[Settings] = []
    desk = Desk(steering(clock), lambda: Doing(100, 12.5, None), aimed.append, clock)
    assert (desk.doing(), desk.doing()) == ('{"size": 100, "ms": 12.5, "hold": null}', None)
    clock.now = 1.0
    assert desk.doing() is not None
    desk.hear(orders({"batch": 7}))
    assert [settings.batch for settings in aimed] == [7]


@pytest.mark.parametrize(
    ("rule", "rows", "wanted"),
    [
        (ApprovalRule(), None, None),
        (ApprovalRule(rows=1000), 1000, None),
        (ApprovalRule(rows=1000), 1001, "it walks about 1,001 rows"),
        (ApprovalRule(rows=1000), None, "nobody knows how many rows"),
        (ApprovalRule(tables=("shop.*",)), 5, 'table "shop.orders"'),
        (ApprovalRule(tables=("orders",)), 5, 'table "shop.orders"'),
        (ApprovalRule(tables=("order",)), 5, None),
    ],
)
def test_a_rule_says_why_a_run_is_to_be_approved(
    rule: ApprovalRule, rows: int | None, wanted: str | None
) -> None:
    why = rule.why(QualifiedName("orders", "shop"), rows)
    assert why is None if wanted is None else why is not None and why.startswith(wanted)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10min", 600), ("1.5h", 5400), ("30d", 2_592_000)]
)
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "0s", "31d", "-5min", "soon", "5 weeks"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadDuration):
        duration(text)


def test_a_run_keeps_what_was_asked_for_and_what_the_project_has_otherwise() -> None:
    pace = Pace(largest=5, duty=1.0, given=frozenset({"duty"}))
    assert (pace.said, pace.begun) == (Settings(duty=1), Settings(duty=1, batch=5))
