"""Who listens to the events of a command: the log, the hooks of the project's settings, and its traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from evolve.event_hooks import hook, title
from evolve.event_spans import spans
from evolve.events import Event, Events, Listener, now


def listening(hooks: Sequence[str], folder: Path, line: Callable[[str], None], *, as_json: bool) -> Events:
    """
    Args:
        hooks: `on_event` of the settings.
        folder: of the project, where hooks are found and started.
        line: writes a line of the log.
        as_json: write every event to the log, one JSON object a line.

    Raises:
        BadHook: a hook cannot be called.
    """

    def log(event: Event) -> None:
        line(event.as_json())

    def failed(name: str, reason: str) -> None:
        if as_json:
            log(Event("hook.failed", now(), {"hook": name, "reason": reason}))
        else:
            line(f"{name} failed, and may go on failing without being told again: {reason}")

    listeners: list[tuple[str, Listener]] = [("the log", log)] if as_json else []
    listeners += [(title(text), hook(text, folder)) for text in hooks]
    if (traced := spans()) is not None:
        listeners.append(("OpenTelemetry", traced))
    return Events(listeners, failed)
