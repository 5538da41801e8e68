"""What happens while evolve works, as events that anybody may listen to: a name, a moment, and values that JSON holds.

Names say of what: "revision.begin" opens a stretch of work, "revision.end" or "revision.fail" closes the one that was
opened last; any other name is a moment within it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    at: datetime
    values: Mapping[str, object]

    def as_json(self) -> str:
        """One line."""
        time = self.at.isoformat(timespec="milliseconds")
        return json.dumps({"time": time, "event": self.name, **self.values}, ensure_ascii=False, default=str)


Listener = Callable[[Event], None]


def now() -> datetime:
    return datetime.now(UTC)


class Events:
    """Hands each event to all listeners, in order. A listener that fails is told once, and never ends the work.

    Args:
        on_failure: told which listener failed, and how.
    """

    def __init__(
        self,
        listeners: Sequence[tuple[str, Listener]],
        on_failure: Callable[[str, str], None],
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._listeners = list(listeners)
        self._on_failure = on_failure
        self._clock = clock
        self._told: set[str] = set()

    def emit(self, name: str, /, **values: object) -> None:
        self.hand_on(Event(name, self._clock(), values))

    def hand_on(self, event: Event) -> None:
        for title, listener in self._listeners:
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001  # it is a stranger's code, and must not stop a migration
                if title not in self._told:
                    self._told.add(title)
                    self._on_failure(title, f"{type(error).__name__}: {error}")
