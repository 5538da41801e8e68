"""What `[tool.evolve.backfill]` says of sensors, windows and the mode, found right or refused with file and line."""

from __future__ import annotations

from collections.abc import Mapping

from evolve.backfill.hours import BadWindow, Hours
from evolve.backfill.modes import Mode
from evolve.backfill.sensor import Unit
from evolve.backfill.sensor_kinds import BUILT_IN, OWN, Unknown, Wrong, amount, nearest, read
from evolve.config_table import Table, UnknownKey, place_of
from evolve.errors import Misuse


class UnknownSensor(Misuse):
    def __init__(self, table: Table, near: str | None) -> None:
        name = table.name.rpartition(".")[2]
        super().__init__(
            f'{place_of(table.file, table.name)}: there is no sensor "{name}"',
            why=f"a sensor of your own says what it asks: one of {', '.join(OWN)}",
            fix=f'did you mean "{near}"?' if near else f"built in are {', '.join(BUILT_IN)}",
        )


def check_throttling(table: Table) -> None:
    """
    Raises:
        BadValue, UnknownKey, UnknownSensor, BadWindow: naming file and line.
    """
    mode = table.text("mode", None)
    if mode is not None and mode not in list(Mode):
        raise table.bad("mode", f"one of {', '.join(Mode)}", mode)
    for text in table.texts("windows"):
        try:
            Hours.parse(text)
        except BadWindow as error:
            raise BadWindow(
                text, f"{error.reason} ({place_of(table.file, 'backfill.windows')})", error.fix
            ) from error
    table.texts("throttles")
    max_wal(table)
    sensors = table.table("sensors")
    for name in sensors.values:
        _check(sensors.table(name), name)


def max_wal(table: Table) -> float | None:
    """Bytes per second."""
    value = table.values.get("max_wal")
    if value is None:
        return None
    found = amount(Unit.RATE, value) if isinstance(value, str) else None
    if not found:
        raise table.bad("max_wal", 'bytes of WAL per second such as "10MB"', value)
    return found


def sensors_of(table: Table) -> Mapping[str, Mapping[str, object]]:
    sensors = table.table("sensors")
    return {name: sensors.table(name).values for name in sensors.values}


def _check(table: Table, name: str) -> None:
    try:
        read(name, table.values)
    except Unknown as error:
        if error.key:
            raise UnknownKey(table.file, f"{table.name}.{error.key}", error.known) from None
        raise UnknownSensor(table, nearest(name, error.known)) from None
    except Wrong as error:
        raise table.bad(error.key, error.expected, table.values.get(error.key)) from None
