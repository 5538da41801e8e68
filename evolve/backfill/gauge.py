"""Sensors with their limits: the last look at each, and what that means for a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock

from evolve.backfill.sensor import LEAST_SHARE, Degree, Level, Limits, Reading, Sensor, Unit
from evolve.backfill.throttle import Hold
from evolve.values import dataclass

STALE = 5.0  # seconds after which a look counts no more, where the sensor is looked at more often
MISSED = 3  # looks in a row that may fail to come, where it is looked at less often
POLL = 0.5  # seconds between two questions of a held run; a look that ends the hold may be newer than that
AGAIN = 0.01  # seconds between two questions while a look is waited for
PROMPT = 0.1  # seconds between two looks of a sensor that is worth waiting for
SOFT_SHARE = 0.5  # of its time that a run works where a sensor says "soft" without a number


@dataclass(frozen=True, slots=True)
class State:
    """What a gauge says now.

    Args:
        share: of its time a run may work; 1.0 unless the degree is soft.
        text: sensor, value and limit in words; empty where there is nothing to tell.
        sensor: its name.
    """

    degree: Degree
    share: float
    text: str
    sensor: str = ""


FREE = State(Degree.FREE, 1.0, "")


class Gauge:
    """One sensor, its limits and its last look. `look` is called by one thread, `state` by any.

    Args:
        every: seconds between two looks.
        unknown_holds: whether a run is held while the value is not known, or goes on; either way it is told.
    """

    def __init__(
        self,
        sensor: Sensor,
        limits: Limits,
        clock: Callable[[], float],
        *,
        every: float,
        unknown_holds: bool = True,
    ) -> None:
        self.sensor = sensor
        self.every = every
        self.unknown_holds = unknown_holds
        self.off = False  # somebody said that it does not matter
        self._clock = clock
        self._level = Level(limits)
        self._lock = Lock()
        self._began = clock()
        self._known: float | None = None  # when it was last known
        self._degree = Degree.FREE
        self._reading = Reading(None)
        self._looked: float | None = None
        self._strained = 0

    def look(self) -> Reading:
        """Read the sensor; whatever goes wrong with it is an unknown value."""
        if self.off:
            return self._reading
        try:
            reading = _believed(self.sensor.read(), self.sensor.unit)
        except Exception as error:  # noqa: BLE001  # a sensor may be anybody's code: nothing of it ends a run
            reading = Reading(None, _first_line(error))
        with self._lock:
            self._reading = reading
            self._looked = self._clock()
            if reading.known:
                self._known = self._looked
                by_value = Degree.FREE if reading.value is None else self._level.take(reading.value)
                self._degree = max(by_value, reading.degree or Degree.FREE)
                self._strained += self._degree >= Degree.SOFT
        return reading

    @property
    def limits(self) -> Limits:
        return self._level.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        with self._lock:
            self._level.limits = limits

    @property
    def value(self) -> float | None:
        """Of the last look, in the sensor's unit; None while it is not known."""
        with self._lock:
            late = self._looked is None or self._overdue(self._looked)
            return None if late or self.off else self._reading.value

    @property
    def strained(self) -> int:
        """How many looks so far found it beyond its soft limit."""
        with self._lock:
            return self._strained

    def due(self, since: float) -> bool:
        """Beyond its soft limit, looked at often, and not since `since`: the next look is worth waiting for."""
        with self._lock:
            soft = self._degree is Degree.SOFT and not self.off
            return soft and self.every <= PROMPT and self._looked is not None and self._looked < since

    def state(self) -> State:
        if self.off:
            return FREE
        with self._lock:
            now = self._clock()
            reading, looked = self._reading, self._looked
            overdue = self._overdue(self._began if looked is None else looked)
            if overdue or (looked is not None and not reading.known):
                state = self._unknown(now, "no answer" if overdue else reading.where)
            elif looked is None:
                state = State(Degree.HARD, 1.0, f"{self.sensor.name} has not answered yet")
            else:
                state = self._told(reading)
        return replace(state, sensor=self.sensor.name)

    def _overdue(self, looked: float) -> bool:
        return self._clock() - looked > max(STALE, MISSED * self.every)

    def _unknown(self, now: float, why: str) -> State:
        since = now - (self._began if self._known is None else self._known)
        text = f"{self.sensor.name} unknown for {since:.0f} s: {why}"
        if self.unknown_holds:
            return State(Degree.HARD, 1.0, text)
        return State(Degree.FREE, 1.0, f"{text}; going on without it")

    def _told(self, reading: Reading) -> State:
        if self._degree is Degree.FREE:
            return FREE
        if reading.value is None:
            share = SOFT_SHARE if self._degree is Degree.SOFT else 1.0
            return State(self._degree, share, reading.where or f"{self.sensor.name} says so")
        limits, show = self._level.limits, self.sensor.unit.show
        what = f"{self.sensor.name} {show(reading.value)}" + (f" {reading.where}" if reading.where else "")
        if self._degree is Degree.SOFT:
            share = self._level.share(reading.value)
            if reading.degree is Degree.SOFT:
                share = min(share, SOFT_SHARE)
            if limits.soft is not None and limits.beyond(reading.value, limits.soft):
                what += f", {'under' if limits.low else 'over'} {show(limits.soft)}"
            return State(Degree.SOFT, share, f"{what}: slowed to {share:.0%}")
        if self._degree is Degree.CRITICAL and limits.critical is not None:
            return State(self._degree, 1.0, f"{what}, critical limit {show(limits.critical)}")
        if limits.hard is not None:
            what += f", limit {show(limits.hard)}"
            release = self._level.release
            if not limits.beyond(reading.value, limits.hard) and release is not None:
                what += f": held until it is back at {show(release)}"
        return State(self._degree, 1.0, what)


def _believed(reading: object, unit: Unit) -> Reading:
    """What a sensor of whatever origin has answered, if that is a reading with a number that can be."""
    if not isinstance(reading, Reading):
        return Reading(None, f"it answered {type(reading).__name__}, which is no reading")
    value: object = reading.value
    if value is None:
        return reading
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return Reading(None, f"it answered {str(value)[:40]!r}, which is no number")
    if value < 0 and unit is not Unit.NUMBER:
        # -1 is how many a program says that it does not know.
        return Reading(None, f"it answered {value:g}, less than nothing")
    return reading


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


class Panel:
    """All gauges of a process; the worst counts."""

    def __init__(self, gauges: Sequence[Gauge]) -> None:
        self.gauges = tuple(gauges)

    def worst(self) -> State:
        states = [gauge.state() for gauge in self.gauges]
        return max(states, key=lambda state: (state.degree, -state.share), default=FREE)

    def notes(self) -> tuple[tuple[str, str], ...]:
        """Sensors that the run goes on without, and why."""
        states = ((gauge.sensor.name, gauge.state()) for gauge in self.gauges)
        return tuple(
            (name, state.text) for name, state in states if state.degree is Degree.FREE and state.text
        )


class Eased:
    """One worker's obedience to a panel: held beyond a hard limit; beyond a soft one it works a share of its time."""

    def __init__(self, panel: Panel, clock: Callable[[], float]) -> None:
        self._panel = panel
        self._clock = clock
        self._until = self._committed = clock()
        self._reason = self._cause = ""

    def committed(self, rows: int, seconds: float) -> None:
        state = self._panel.worst()
        self._committed = self._clock()
        if state.degree is Degree.SOFT:
            self._reason, self._cause = state.text, state.sensor
            self._until = self._committed + seconds * (1 / max(state.share, LEAST_SHARE) - 1)

    def hold(self) -> Hold | None:
        state = self._panel.worst()
        if state.degree >= Degree.HARD:
            return Hold(POLL, state.text, state.sensor)
        left = self._until - self._clock()
        if left <= 0 and any(gauge.due(self._committed) for gauge in self._panel.gauges):
            # So near its limit a standby is asked after each batch: it is passed by one batch at most.
            return Hold(AGAIN, state.text, state.sensor)
        return Hold(left, self._reason, self._cause) if left > 0 else None


class Crowded:
    """Whether somebody had to wait for the run since this was asked last, by the looks of a gauge; for one worker.

    Args:
        gauge: None: nobody looks.
    """

    def __init__(self, gauge: Gauge | None) -> None:
        self._gauge = gauge
        self._seen = 0 if gauge is None else gauge.strained

    def __call__(self) -> bool:
        if self._gauge is None:
            return False
        seen, self._seen = self._seen, self._gauge.strained
        return self._seen > seen
