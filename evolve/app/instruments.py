"""Gauges and throttles made of what the settings choose: what a process looks at while it writes many rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evolve.backfill.functions import function_at
from evolve.backfill.gauge import Gauge, Panel
from evolve.backfill.sensor import Limits, Sensor
from evolve.backfill.sensor_kinds import Choice
from evolve.backfill.throttle import Guarded, Shared, Throttle, WalPerSecond
from evolve.backfill.throttling import Throttling, Watched
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.make import Subject, make_sensor, of_server
from evolve.postgres.sensors.unasked import Unasked
from evolve.postgres.sensors.wal_rate import position
from evolve.postgres.sensors.window import Window

WAL_EVERY = 0.25  # seconds between two looks at how far the log has come


@dataclass(frozen=True, slots=True)
class Instruments:
    """What a process looks at, by the connection it looks through.

    Args:
        server: through one of evolve's own statements.
        own: through a statement of the project's.
        outside: through no connection of ours; each gets a thread.
        plugged: throttles that plugins bring.
        standbys: the gauges of replica-lag and replica-delay; None where nobody looks.
    """

    server: tuple[Gauge, ...]
    own: tuple[Gauge, ...]
    outside: tuple[Gauge, ...]
    plugged: tuple[Throttle, ...]
    standbys: Mapping[str, Gauge | None]

    @property
    def panel(self) -> Panel:
        return Panel((*self.server, *self.own, *self.outside))


def instruments_of(
    throttling: Throttling, subject: Subject, eye: Eye, own_eye: Eye, say: Callable[[str], object]
) -> Instruments:
    """Nothing is looked at yet.

    Raises:
        CannotImport, NoFunction: the function of a sensor is not there.
    """
    server: list[Gauge] = []
    own: list[Gauge] = []
    outside: list[Gauge] = []
    standbys: dict[str, Gauge | None] = {"replica-lag": None, "replica-delay": None}
    for choice in throttling.sensors:
        through = eye if of_server(choice) else own_eye
        sensor = make_sensor(choice, subject, through, function_at)
        gauge = _gauge(sensor if choice.asked else Unasked(sensor, choice.name, say), choice)
        (server if of_server(choice) else own if choice.kind == "sql" else outside).append(gauge)
        if choice.name in standbys:
            standbys[choice.name] = gauge
    if throttling.windows:
        server.append(Gauge(Window(eye, throttling.windows), Limits(), time.monotonic, every=1.0))
    plugged: list[Throttle] = []
    for name, each in throttling.plugged:
        if isinstance(each, Watched):
            outside.append(
                Gauge(
                    each.sensor,
                    each.limits,
                    time.monotonic,
                    every=each.every,
                    unknown_holds=each.unknown_holds,
                )
            )
        else:
            plugged.append(Shared(Guarded(name, each)))
    return Instruments(tuple(server), tuple(own), tuple(outside), tuple(plugged), standbys)


def _gauge(sensor: Sensor, choice: Choice) -> Gauge:
    return Gauge(
        sensor, choice.limits, time.monotonic, every=choice.every, unknown_holds=choice.unknown_holds
    )


def look_at_log(eye: Eye, wal: WalPerSecond) -> None:
    end = position(eye) if math.isfinite(wal.limit) else None
    if end is not None:
        wal.looked(end)
