"""What a run is held by: the settings of the project, and what a command line says beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evolve.backfill.functions import function_at
from evolve.backfill.hours import Hours
from evolve.backfill.modes import Mode
from evolve.backfill.sensor_kinds import Choice, choose, nearest
from evolve.backfill.throttle import Throttle
from evolve.backfill.throttling import Throttling, Watched
from evolve.config import Backfill
from evolve.errors import Misuse


class NoSuchThrottle(Misuse):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        near = nearest(name, known)
        super().__init__(
            f'there is no throttle "{name}"',
            why="throttles come from plugins; sensors are set in [tool.evolve.backfill.sensors]",
            fix=f'did you mean "{near}"?'
            if near
            else f"installed are {', '.join(known) or 'none'}: evolve plugins",
        )


class BadThrottle(Misuse):
    def __init__(self, text: str, error: Exception) -> None:
        super().__init__(
            f'the throttle "{text}" cannot be made: {error}',
            fix="write it as NAME:ARGUMENT, with an argument that its plugin understands",
        )


def throttling_of(
    settings: Backfill, mode: Mode, windows: Sequence[str], throttles: Sequence[str], folder: Path
) -> Throttling:
    """
    Args:
        windows, throttles: of the command line; those of the settings hold as well, but for windows, which take the
            place of theirs.
        folder: where modules of the application are found.

    Raises:
        BadWindow, NoSuchThrottle, BadThrottle, CannotImport, NoFunction
    """
    sensors = choose(mode, settings.sensors)
    _import_functions(sensors, folder)
    return Throttling(
        sensors=sensors,
        windows=tuple(Hours.parse(text) for text in windows or settings.windows),
        plugged=tuple(_plugged(text) for text in (*settings.throttles, *throttles)),
    )


def _import_functions(sensors: Sequence[Choice], folder: Path) -> None:
    for choice in sensors:
        if choice.kind == "python":
            function_at(choice.source, folder)


def _plugged(text: str) -> tuple[str, Throttle | Watched]:
    from evolve.plugin_loader import load_plugins

    name, _, argument = text.partition(":")
    known = {throttle.name: throttle for loaded in load_plugins() for throttle in loaded.plugin.throttles}
    if name not in known:
        raise NoSuchThrottle(name, sorted(known))
    try:
        return name, known[name].make(argument)
    except Exception as error:  # a plugin is anybody's code
        raise BadThrottle(text, error) from error
