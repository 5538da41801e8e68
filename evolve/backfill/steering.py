"""What operators say of a run while it goes on: workers hear it with each commit, and their limits follow it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol, cast

from evolve.backfill.settings import OPEN, Settings
from evolve.backfill.throttle import Hold, Throttle
from evolve.values import dataclass

SAY = 1.0  # seconds between two times that a worker writes down what it does
ASK_AGAIN = (
    60.0  # seconds: the longest wait that is asked for at once; it is cut short where the brake is let go
)


@dataclass(frozen=True, slots=True)
class Brake:
    """Somebody holds the workers of a run, or slows them.

    Args:
        share: of the time that they may work at most; 0 holds them.
        actor: who said so.
        left: seconds until it ends by itself; None: it does not.
    """

    share: float
    reason: str
    actor: str
    left: float | None = None

    @property
    def shown(self) -> str:
        """As a hold names it."""
        what = "held" if self.share == 0 else f"slowed to {self.share:.0%}"
        return f"{what} by {self.actor}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Orders:
    """What the journal says of the pace of a run.

    Args:
        settings: what was set while it went on.
        pace: what the command lines said that led it; lies below.
    """

    settings: Settings = OPEN
    pace: Settings = OPEN
    brake: Brake | None = None

    @staticmethod
    def from_json(text: str) -> Orders:
        """Of [settings, pace, brake]."""
        settings, pace, brake = cast("tuple[dict[str, object], dict[str, object], object]", json.loads(text))
        return Orders(Settings.from_json(settings), Settings.from_json(pace), brake_of(brake))


def brake_of(stored: object) -> Brake | None:
    if not isinstance(stored, dict):
        return None
    found = cast("dict[str, object]", stored)
    left = found.get("left")
    return Brake(
        share=float(str(found["share"])),
        reason=str(found.get("reason") or ""),
        actor=str(found["actor"]),
        left=None if left is None else float(str(left)),
    )


@dataclass(frozen=True, slots=True)
class Doing:
    """What a worker was about when it last wrote that down.

    Args:
        size: rows of its next batch.
        milliseconds: that one of its last commits took, the middle one; None before there were any.
        hold: what it waits for.
    """

    size: int
    milliseconds: float | None
    hold: str | None

    def to_json(self) -> str:
        return json.dumps({"size": self.size, "ms": self.milliseconds, "hold": self.hold})

    @staticmethod
    def from_json(stored: dict[str, object]) -> Doing:
        milliseconds, hold = stored.get("ms"), stored.get("hold")
        return Doing(
            size=int(str(stored.get("size") or 0)),
            milliseconds=None if milliseconds is None else float(str(milliseconds)),
            hold=None if hold is None else str(hold),
        )


class Link(Protocol):
    """A worker's side of what it exchanges with the journal in each of its transactions."""

    def doing(self) -> str | None:
        """`Doing` as JSON, where that is to be written down."""
        ...

    def hear(self, orders: str) -> None:
        """`Orders` as JSON; called inside the transaction."""
        ...


class Steering:
    """The limits of one process, as they are now; shared by its workers, each in a thread of its own.

    Above all stands what was set, then what this process was told itself, then what the run was begun with.

    Args:
        own: what the command line of this process said.
        defaults: of which none is left open.
        clock: seconds.
    """

    def __init__(self, own: Settings, defaults: Settings, orders: Orders, clock: Callable[[], float]) -> None:
        self._own = own
        self._defaults = defaults
        self._clock = clock
        self._heard = ""
        self._now = self._take(orders)

    def hear(self, orders: str) -> None:
        if orders != self._heard:
            self._now = self._take(Orders.from_json(orders))
            self._heard = orders

    @property
    def settings(self) -> Settings:
        """None is left open."""
        settings, brake, _ = self._now
        if brake is None or brake.share == 0 or not self._braked:
            return settings
        return Settings(duty=min(brake.share, settings.duty or 1.0)).over(settings)

    @property
    def brake(self) -> Brake | None:
        return self._now[1] if self._braked else None

    @property
    def _braked(self) -> bool:
        until = self._now[2]
        return until is None or self._clock() < until

    def _take(self, orders: Orders) -> tuple[Settings, Brake | None, float | None]:
        settings = orders.settings.over(self._own).over(orders.pace).over(self._defaults)
        brake = orders.brake
        until = None if brake is None or brake.left is None else self._clock() + brake.left
        return settings, brake, until


class Steered:
    """Limits that are made anew whenever the settings are others; what the old ones still waited for is let go.

    Args:
        build: of settings of which none is left open.
    """

    def __init__(self, steering: Steering, build: Callable[[Settings], Throttle]) -> None:
        self._steering = steering
        self._build = build
        self._settings = steering.settings
        self._limits = build(self._settings)

    def committed(self, rows: int, seconds: float) -> None:
        self._current().committed(rows, seconds)

    def hold(self) -> Hold | None:
        return self._current().hold()

    def _current(self) -> Throttle:
        settings = self._steering.settings
        if settings != self._settings:
            self._limits = self._build(settings)
            self._settings = settings
        return self._limits


class Held:
    """Waits while somebody holds the run."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    def committed(self, rows: int, seconds: float) -> None:
        """Nothing that a batch does changes this."""

    def hold(self) -> Hold | None:
        brake = self._steering.brake
        if brake is None or brake.share > 0:
            return None
        return Hold(
            min(ASK_AGAIN, ASK_AGAIN if brake.left is None else brake.left), brake.shown, "an operator"
        )


class Desk:
    """`Link` of one worker.

    Args:
        look: at what it does.
        aim: called in its own thread with the settings after each word from the journal.
    """

    def __init__(
        self,
        steering: Steering,
        look: Callable[[], Doing],
        aim: Callable[[Settings], None],
        clock: Callable[[], float],
    ) -> None:
        self._steering = steering
        self._look = look
        self._aim = aim
        self._clock = clock
        self._next = clock()

    def doing(self) -> str | None:
        now = self._clock()
        if now < self._next:
            return None
        self._next = now + SAY
        return self._look().to_json()

    def hear(self, orders: str) -> None:
        self._steering.hear(orders)
        self._aim(self._steering.settings)
