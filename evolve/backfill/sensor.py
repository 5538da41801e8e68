"""What a sensor is, and which of its values go on, slow a run down, hold it, or pause it."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Protocol

from evolve.values import dataclass

RELEASE = 0.9  # share of the hard limit below which a hold ends, where there is no soft one
LEAST_SHARE = 0.1  # of its time that a run works just below the hard limit


class Degree(IntEnum):
    """How bad it is, from good to bad."""

    FREE = 0
    SOFT = 1
    HARD = 2
    CRITICAL = 3


class Unit(StrEnum):
    """What a value counts; how it is written down and shown."""

    BYTES = "bytes"
    RATE = "bytes/s"
    SECONDS = "s"
    SHARE = "share"
    NUMBER = ""

    def show(self, value: float) -> str:
        """For people: "120 MB", "3.2 s", "45 %", "12"."""
        match self:
            case Unit.BYTES | Unit.RATE:
                size = abs(value)
                for factor, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes")):
                    if size >= factor or factor == 1.0:
                        shown = f"{_round(value / factor)} {name}"
                        return shown + "/s" if self is Unit.RATE else shown
            case Unit.SECONDS:
                return f"{_round(value)} s"
            case Unit.SHARE:
                return f"{value:.0%}"
            case Unit.NUMBER:
                return f"{_round(value)}"
        raise AssertionError(self)


def _round(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look.

    Args:
        value: in the sensor's unit; None where it is unknown, or where only `degree` counts.
        where: what shows it, such as 'on "follower"'; without a value all there is to say.
        degree: what the sensor says itself where no number does, such as a standby that is gone; the worse of this and
            of what the limits say counts.
    """

    value: float | None
    where: str = ""
    degree: Degree | None = None

    @property
    def known(self) -> bool:
        return self.value is not None or self.degree is not None


class Sensor(Protocol):
    """Something that can be looked at; `read` is called from a thread of its own, never by a worker."""

    @property
    def name(self) -> str:
        """As an operator is told: "replica lag"."""
        ...

    @property
    def unit(self) -> Unit: ...

    def read(self) -> Reading:
        """Look now. What is raised counts as unknown, as does an answer that does not come."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Each in the unit of its sensor; None sets none.

    Args:
        soft: beyond it the run is slowed down, the more the nearer the hard one is.
        hard: beyond it the run is held, until the value is back within the soft one.
        critical: beyond it the run is paused, until somebody resumes it.
        low: what is less is worse.
    """

    soft: float | None = None
    hard: float | None = None
    critical: float | None = None
    low: bool = False

    @property
    def ordered(self) -> bool:
        """Soft comes before hard, and hard before critical."""
        given = [limit for limit in (self.soft, self.hard, self.critical) if limit is not None]
        return given == sorted(given, reverse=self.low)

    def beyond(self, value: float, limit: float | None) -> bool:
        if limit is None:
            return False
        return value < limit if self.low else value > limit


class Level:
    """Turns values into degrees; a hold that began ends only well within the hard limit."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._held = False

    def take(self, value: float) -> Degree:
        limits = self.limits
        if limits.beyond(value, limits.critical):
            self._held = True
            return Degree.CRITICAL
        self._held = limits.beyond(value, limits.hard) or (self._held and limits.beyond(value, self.release))
        if self._held:
            return Degree.HARD
        return Degree.SOFT if limits.beyond(value, limits.soft) else Degree.FREE

    def share(self, value: float) -> float:
        """The share of its time a run may work while `value` is beyond the soft limit: 1.0 down to `LEAST_SHARE`."""
        soft = self.limits.soft
        if soft is None or not self.limits.beyond(value, soft):
            return 1.0
        end = self.limits.hard if self.limits.hard is not None else soft * (0.5 if self.limits.low else 2)
        if end == soft:
            return 0.5
        pressure = min(max((value - soft) / (end - soft), 0.0), 1.0)
        return 1.0 - pressure * (1.0 - LEAST_SHARE)

    @property
    def release(self) -> float | None:
        """Where a hold ends; None where there is none."""
        limits = self.limits
        if limits.soft is not None:
            return limits.soft
        limit = limits.hard if limits.hard is not None else limits.critical
        if limit is None:
            return None
        return limit - abs(limit) * (1 - RELEASE) * (-1 if limits.low else 1)
