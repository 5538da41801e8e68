"""Sensors: limits and degrees, what is unknown, settings of them, times of the day, and caps on WAL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from evolve.backfill.gauge import Crowded, Eased, Gauge, Panel
from evolve.backfill.hours import BadWindow, Hours, next_opening
from evolve.backfill.modes import Mode
from evolve.backfill.sensor import Degree, Level, Limits, Reading, Unit
from evolve.backfill.sensor_kinds import BUILT_IN, Unknown, Wrong, choose, read, with_hard
from evolve.backfill.throttle import Guarded, Hold, WalPerSecond


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Fixed:
    """Answers what it is told to, and raises it where that is an exception."""

    name = "load"
    unit = Unit.NUMBER

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def read(self) -> Reading:
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, Reading):
            return self.answer
        return Reading(self.answer)  # type: ignore[arg-type]  # sensors lie


def gauge(answer: object, limits: Limits, clock: Clock | None = None, *, holds: bool = True) -> Gauge:
    made = Gauge(Fixed(answer), limits, clock or Clock(), every=1.0, unknown_holds=holds)
    made.look()
    return made


# levels


@pytest.mark.parametrize(
    ("limits", "values", "degrees"),
    [
        (Limits(10, 20), [5, 15, 25, 15, 11, 10, 15], [0, 1, 2, 2, 2, 0, 1]),
        (Limits(None, 20), [25, 19, 18], [2, 2, 0]),
        (Limits(10, 20, 30), [31, 25, 15, 9], [3, 2, 2, 0]),
        (Limits(None, None, 30), [31, 28, 26], [3, 2, 0]),
        (Limits(20, 10, 5, low=True), [25, 15, 9, 15, 20, 4], [0, 1, 2, 2, 0, 3]),
    ],
)
def test_a_hold_ends_only_within_the_soft_limit(
    limits: Limits, values: list[float], degrees: list[int]
) -> None:
    level = Level(limits)
    assert [int(level.take(value)) for value in values] == degrees


def test_the_nearer_the_hard_limit_the_less_of_the_time_it_works() -> None:
    level = Level(Limits(10, 20))
    assert [level.share(value) for value in (10, 15, 20, 99)] == [
        1.0,
        pytest.approx(0.55),
        *[pytest.approx(0.1)] * 2,
    ]


# gauges


def test_a_hold_names_sensor_value_and_limit() -> None:
    lag = Gauge(Fixed(Reading(120e6, 'on "follower"')), Limits(16e6, 64e6), Clock(), every=1.0)
    lag.sensor.name, lag.sensor.unit = "replica lag", Unit.BYTES  # type: ignore[misc]
    lag.look()
    assert lag.state().text == 'replica lag 120 MB on "follower", limit 64 MB'


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ValueError("no route\nto it"), "no route"),
        (float("nan"), "'nan', which is no number"),
        (float("inf"), "'inf', which is no number"),
        (True, "'True', which is no number"),
        ("many", "'many', which is no number"),
        (Reading(None, "the query found no series"), "the query found no series"),
    ],
)
def test_a_sensor_that_fails_or_lies_is_unknown_and_holds(answer: object, why: str) -> None:
    state = gauge(answer, Limits(hard=5)).state()
    assert state.degree is Degree.HARD
    assert state.text.startswith("load unknown for 0 s: ")
    assert why in state.text


@pytest.mark.parametrize(("unit", "degree"), [(Unit.SECONDS, Degree.HARD), (Unit.NUMBER, Degree.FREE)])
def test_less_than_nothing_is_unknown_but_for_numbers_that_may_be(unit: Unit, degree: Degree) -> None:
    below = gauge(-1, Limits(hard=5))
    below.sensor.unit = unit  # type: ignore[misc]
    below.look()
    assert below.state().degree is degree


def test_each_worker_is_told_once_that_somebody_waited() -> None:
    waiters = gauge(0.05, Limits(0.1, 0.5))
    first, second = Crowded(waiters), Crowded(waiters)
    before = first()
    waiters.sensor.answer = 0.2  # type: ignore[attr-defined]
    waiters.look()
    assert (before, first(), first(), second(), Crowded(None)()) == (False, True, False, True, False)


def test_a_sensor_that_hangs_is_unknown_after_a_while() -> None:
    clock = Clock()
    hanging = gauge(1, Limits(hard=5), clock)
    clock.now += 4
    before = hanging.state().degree
    clock.now += 2
    assert (before, hanging.state().text) == (Degree.FREE, "load unknown for 6 s: no answer")


def test_what_is_unknown_may_be_gone_on_without_and_is_told() -> None:
    panel = Panel([gauge(ValueError("gone"), Limits(hard=5), holds=False)])
    assert panel.worst().degree is Degree.FREE
    assert panel.notes() == (("load", "load unknown for 0 s: gone; going on without it"),)


def test_beyond_a_soft_limit_each_batch_is_paid_for_with_a_wait() -> None:
    clock = Clock()
    eased = Eased(Panel([gauge(15, Limits(10, 20), clock)]), clock)
    eased.committed(100, 0.11)
    hold = eased.hold()
    assert hold is not None
    assert hold.seconds == pytest.approx(0.09)
    assert hold.reason == "load 15, over 10: slowed to 55%"


def test_near_its_limit_a_prompt_sensor_is_asked_after_each_batch() -> None:
    clock = Clock()
    prompt = Gauge(Fixed(10.001), Limits(10, 20), clock, every=0.05)
    prompt.look()
    eased = Eased(Panel([prompt]), clock)
    clock.now += 0.02
    eased.committed(100, 0.0)
    before = eased.hold()
    prompt.look()
    assert (before is None, eased.hold()) == (False, None)


# settings


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        (Mode.FAST, set[str]()),
        (Mode.POLITE, {"old-snapshot"}),
        (Mode.GENTLE, {"old-snapshot", "vacuum", "commit-latency"}),
    ],
)
def test_a_gentler_mode_looks_at_more(mode: Mode, more: set[str]) -> None:
    fast = {choice.name for choice in choose(Mode.FAST, {})}
    assert {choice.name for choice in choose(mode, {})} == fast | more


def test_a_hard_limit_moves_the_soft_one_with_it() -> None:
    assert with_hard(BUILT_IN["replica-lag"].limits, 32e6) == Limits(8e6, 32e6)


@pytest.mark.parametrize(
    ("name", "values", "key"),
    [
        ("replica-lag", {"soft": "20MB", "hard": "10MB"}, "soft"),
        ("replica-lag", {"hard": "10 apples"}, "hard"),
        ("replica-lag", {"standbys": "one"}, "standbys"),
        ("replica-lag", {"unknown": "maybe"}, "unknown"),
        ("replica-lag", {"every": 0}, "every"),
        ("sessions", {}, "hard"),
        ("mine", {"prometheus": "http://p", "hard": 1}, "query"),
        ("mine", {"prometheus": "http://p", "query": "up"}, "hard"),
        ("mine", {"http": "file:///etc/passwd"}, "http"),
        ("mine", {"sql": ""}, "sql"),
    ],
)
def test_a_wrong_value_is_named(name: str, values: Mapping[str, object], key: str) -> None:
    with pytest.raises(Wrong) as wrong:
        read(name, values)
    assert wrong.value.key == key


@pytest.mark.parametrize(
    ("name", "values", "key"),
    [
        ("replica-lags", {"hard": 1}, ""),
        ("replica-lag", {"hart": 1}, "hart"),
        ("mine", {"sql": "SELECT 1", "query": "x"}, "query"),
    ],
)
def test_what_is_unknown_comes_with_what_is_known(name: str, values: Mapping[str, object], key: str) -> None:
    with pytest.raises(Unknown) as unknown:
        read(name, values)
    assert unknown.value.key == key
    assert unknown.value.known


# windows


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        ("22:00-06:00 Europe/Berlin", "2026-01-15T21:00+00:00", True),  # winter: 22:00 there
        ("22:00-06:00 Europe/Berlin", "2026-07-15T20:00+00:00", True),  # summer: 22:00 there
        ("22:00-06:00 Europe/Berlin", "2026-07-15T19:59+00:00", False),
        ("22:00-06:00 Europe/Berlin", "2026-07-16T03:59+00:00", True),
        ("22:00-06:00 Europe/Berlin", "2026-07-16T04:00+00:00", False),
        (
            "Fri 22:00-06:00 UTC",
            "2026-01-17T05:00+00:00",
            True,
        ),  # Saturday morning belongs to Friday's window
        ("Fri 22:00-06:00 UTC", "2026-01-16T05:00+00:00", False),
        ("Sat-Sun 00:00-24:00 UTC", "2026-01-18T23:59+00:00", True),
        ("Fri-Mon 10:00-11:00 UTC", "2026-01-18T10:30+00:00", True),
        ("mon,Wednesday 10:00-11:00 UTC", "2026-01-14T10:30+00:00", True),
    ],
)
def test_a_window_is_open(window: str, moment: str, is_open: bool) -> None:
    assert Hours.parse(window).open(datetime.fromisoformat(moment)) is is_open


@pytest.mark.parametrize(
    ("window", "noon_before", "minutes"),
    [
        ("01:00-05:00 Europe/Berlin", "2026-03-28T11:00+00:00", 180),  # 02:00 to 03:00 does not come
        ("02:15-02:45 Europe/Berlin", "2026-03-28T11:00+00:00", 0),
        ("01:00-05:00 Europe/Berlin", "2026-10-24T10:00+00:00", 300),  # 02:00 to 03:00 comes twice
        ("02:15-02:45 Europe/Berlin", "2026-10-24T10:00+00:00", 60),
    ],
)
def test_the_clock_on_the_wall_decides_when_it_changes(window: str, noon_before: str, minutes: int) -> None:
    parsed, noon = Hours.parse(window), datetime.fromisoformat(noon_before)
    assert sum(parsed.open(noon + timedelta(minutes=minute)) for minute in range(24 * 60)) == minutes


def test_the_next_opening_is_told_in_its_own_zone() -> None:
    # The night in which 02:00 to 03:00 does not come: a window from 02:15 on opens at 03:00.
    opens = next_opening((Hours.parse("02:15-06:00 Europe/Berlin"),), datetime(2026, 3, 29, 0, 0, tzinfo=UTC))
    assert opens is not None
    assert opens.isoformat() == "2026-03-29T03:00:00+02:00"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("22:00-22:00 UTC", "never opens"),
        ("22:00-06:00", "no time zone"),
        ("22:00-06:00 Europe/Berlinn", 'no time zone "Europe/Berlinn"'),
        ("22:00-06:00 ../../etc/passwd", "no time zone"),
        ("22:61-06:00 UTC", "22:61 is no time"),
        ("22:00-25:00 UTC", "25:00 is no time"),
        ("24:00-06:00 UTC", "no day begins"),
        ("Moonday 22:00-06:00 UTC", '"Moonday" is no day'),
        ("at night", "not written as one"),
        ("", "not written as one"),
    ],
)
def test_a_window_that_cannot_be_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadWindow, match=reason):
        Hours.parse(text)


# throttles


@pytest.mark.parametrize("others", [(0.0, 0.0), (3e6, 3e6), (3e6, 0.0), (0.0, 3e6)])
def test_a_cap_on_wal_learns_what_a_row_costs_and_what_others_write(others: tuple[float, float]) -> None:
    clock = Clock()
    cap = WalPerSecond(1e6, clock)
    log = ours = 0.0
    looked = clock.now
    while clock.now < 220:
        if clock.now - looked >= 0.25:
            cap.looked(int(log))
            looked = clock.now
        step = 0.01
        if cap.hold() is None:
            cap.committed(100, step)
            log += 100 * 300
            ours += 100 * 300 if clock.now > 120 else 0
        clock.now += step
        log += others[clock.now > 150] * step  # what the application writes, with a change of its mind
    assert 0.7e6 < ours / 100 < 1.1e6


@pytest.mark.parametrize("answer", [ValueError("lost its mind"), Hold(float("nan"), "x"), "soon"])
def test_a_throttle_of_somebody_else_that_fails_makes_the_run_wait(answer: object) -> None:
    class Foreign:
        def committed(self, rows: int, seconds: float) -> None:
            raise OSError

        def hold(self) -> Hold | None:
            if isinstance(answer, Exception):
                raise answer
            return answer  # type: ignore[return-value]

    guarded = Guarded("acme", Foreign())
    guarded.committed(1, 1.0)
    hold = guarded.hold()
    assert hold is not None
    assert hold.reason.startswith('throttle "acme" failed: ')
