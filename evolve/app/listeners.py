"""Who listens to the events of a command: the log, the hooks of the project's settings, and its traces."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from evolve.counted import counted
from evolve.event_hooks import hook, title
from evolve.event_spans import spans
from evolve.events import Event, Events, Listener, now
from evolve.observe.aside import Aside
from evolve.observe.open_telemetry import set_up


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
    log, failed = _log(line, as_json=as_json)
    listeners: list[tuple[str, Listener]] = [("the log", log)] if as_json else []
    listeners += [(title(text), hook(text, folder)) for text in hooks]
    if set_up(lambda reason: failed("OpenTelemetry", reason)) and (traced := spans()) is not None:
        listeners.append(("OpenTelemetry", traced))
    return Events(listeners, failed)


@contextmanager
def listening_aside(
    hooks: Sequence[str],
    folder: Path,
    line: Callable[[str], None],
    *,
    as_json: bool,
    only_logged: Container[str] = (),
) -> Iterator[Events]:
    """As `listening`, but nobody waits for hooks, and traces are not drawn from these events.

    Args:
        only_logged: names of events that hooks do not get.

    Raises:
        BadHook: a hook cannot be called.
    """
    log, failed = _log(line, as_json=as_json)
    listeners: list[tuple[str, Listener]] = [("the log", log)] if as_json else []
    called = [(title(text), hook(text, folder)) for text in hooks]
    if not called:
        yield Events(listeners, failed)
        return
    with Aside(Events(called, failed)) as aside:

        def hand_on(event: Event) -> None:
            if event.name not in only_logged:
                aside(event)

        yield Events([*listeners, ("the hooks", hand_on)], failed)
    if aside.dropped:
        failed("the hooks", f"{counted(aside.dropped, 'event')} came faster than they were handled")


def _log(line: Callable[[str], None], *, as_json: bool) -> tuple[Listener, Callable[[str, str], None]]:
    """What writes an event to the log, and what writes down there that a listener failed."""

    def log(event: Event) -> None:
        line(event.as_json())

    def failed(name: str, reason: str) -> None:
        if as_json:
            log(Event("hook.failed", now(), {"hook": name, "reason": reason}))
        else:
            line(f"{name} failed, and may go on failing without being told again: {reason}")

    return log, failed
