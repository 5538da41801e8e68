"""How gently a run goes when nobody says more: three modes, each a share of the time and a set of sensors."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """From quick to gentle; each looks at what the one before looks at, and at more.

    Small commits protect the application's latency in all of them. Working less of the time does not: it spares
    standbys, WAL and vacuum.
    """

    FAST = "fast"
    POLITE = "polite"
    GENTLE = "gentle"

    @property
    def duty(self) -> float:
        """Share of the time it works."""
        return _DUTY[self]

    def looks_at(self, since: Mode | None) -> bool:
        """Whether it looks at a sensor that is looked at from mode `since` on; None: only where it is asked for."""
        order = list(Mode)
        return since is not None and order.index(self) >= order.index(since)


_DUTY = {Mode.FAST: 1.0, Mode.POLITE: 0.5, Mode.GENTLE: 0.2}
