"""All that makes the workers of one process wait, put together from its pace."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from evolve.app.backfill_work import Pace, actor
from evolve.backfill.functions import function_at
from evolve.backfill.gauge import Eased, Gauge, Panel
from evolve.backfill.ports import Watch
from evolve.backfill.record import RunRecord
from evolve.backfill.sensor import Degree, Limits, Sensor
from evolve.backfill.sensor_kinds import Choice, with_hard
from evolve.backfill.settings import OFF, Settings
from evolve.backfill.throttle import Guarded, RowsPerSecond, Shared, Throttle, Throttles, WalPerSecond
from evolve.backfill.throttling import Watched
from evolve.backfill.transform import Transform
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.looking import Looking, Task
from evolve.postgres.sensors.make import Subject, make_sensor, of_server
from evolve.postgres.sensors.replica_delay import ReplicaDelay
from evolve.postgres.sensors.replica_lag import ReplicaLag
from evolve.postgres.sensors.telling import pause_by_sensor, write_down
from evolve.postgres.sensors.wal_rate import position
from evolve.postgres.sensors.window import Window

WAL_EVERY = 0.25  # seconds between two looks at how far the log has come
TOLD_AFTER = 2.0  # seconds that a hold lasts until it is an event of the run
_STANDBYS = ("replica-lag", "replica-delay")


@dataclass(slots=True)
class Brakes:
    """The limits of one process, beside the share of the time that each worker has for itself.

    Args:
        most_rows: a second, that the specification itself allows.
        plugged: what plugins bring.
    """

    panel: Panel
    wal: WalPerSecond
    plugged: tuple[Throttle, ...]
    most_rows: float

    def together(self, settings: Settings) -> Throttle:
        """What holds for all workers together, by settings of which none is left open."""
        rows = min(OFF if settings.rows is None else settings.rows, self.most_rows)
        self.wal.go_by(OFF if settings.wal is None else settings.wal)
        for gauge in self.panel.gauges:
            if isinstance(gauge.sensor, ReplicaLag | ReplicaDelay):
                gauge.off = settings.lag in (None, OFF)
            if isinstance(gauge.sensor, ReplicaLag) and settings.lag not in (None, OFF, gauge.limits.hard):
                gauge.limits = with_hard(gauge.limits, float(settings.lag or 0))
        return Throttles((RowsPerSecond(rows, time.monotonic), self.wal, *self.plugged))

    def alone(self) -> Throttle:
        """What sensors say, for one worker."""
        return Eased(self.panel, time.monotonic)


@contextmanager
def brakes_of(
    url: str, record: RunRecord, table_oid: int, pace: Pace, settings: Settings, watch: Watch
) -> Iterator[Brakes]:
    """Sensors are looked at until the block ends, over connections of their own.

    Sensors of the server are looked at once before. One that nobody asked for and that cannot see is done without.

    Raises:
        EvolveError: the server takes no more connections, or a function cannot be imported.
    """
    eye, own_eye = Eye(url), Eye(url)
    throttling = pace.throttling
    subject = Subject(record.run_id, table_oid)
    server: list[Gauge] = []
    own: list[Gauge] = []
    outside: list[Gauge] = []
    try:
        for choice in throttling.sensors:
            through = eye if of_server(choice) else own_eye
            gauge = _gauge(make_sensor(choice, subject, through, function_at), choice)
            if of_server(choice):
                reading = gauge.look()
                if (
                    not reading.known
                    and not choice.asked
                    and choice.name in _STANDBYS
                    and settings.lag == OFF
                ):
                    continue
                if not reading.known and not choice.asked:
                    watch.say(f"{reading.where}: going on without a look at {choice.title}")
                    continue
                server.append(gauge)
            else:
                (own if choice.kind == "sql" else outside).append(gauge)
        if throttling.windows:
            window = Gauge(Window(eye, throttling.windows), Limits(), time.monotonic, every=1.0)
            window.look()
            server.append(window)
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
        panel = Panel((*server, *own, *outside))
        rate = record.spec.work.rate if isinstance(record.spec.work, Transform) else None
        brakes = Brakes(
            panel, WalPerSecond(OFF, time.monotonic), tuple(plugged), OFF if rate is None else rate
        )
        brakes.together(settings)
        teller = _Teller(panel, record.run_id, record.name, eye, watch)
        groups: list[tuple[list[Task], Eye | None]] = [
            (
                [
                    *(Task(gauge.every, gauge.look, time.monotonic() + gauge.every) for gauge in server),
                    Task(WAL_EVERY, lambda: _look_at_log(eye, brakes.wal)),
                    Task(0.25, teller.tell),
                ],
                eye,
            ),
            ([Task(gauge.every, gauge.look) for gauge in own], own_eye),
            *(([Task(gauge.every, gauge.look)], None) for gauge in outside),
        ]
    except BaseException:
        eye.close()
        own_eye.close()
        raise
    with Looking([group for group in groups if group[0]]):
        yield brakes


def _gauge(sensor: Sensor, choice: Choice) -> Gauge:
    return Gauge(
        sensor, choice.limits, time.monotonic, every=choice.every, unknown_holds=choice.unknown_holds
    )


def _look_at_log(eye: Eye, wal: WalPerSecond) -> None:
    end = position(eye) if math.isfinite(wal.limit) else None
    if end is not None:
        wal.looked(end)


@dataclass(slots=True)
class _Teller:
    """Writes into the journal what a sensor does to the run, and pauses the run where one asks for that.

    Beside holds that last, it says once what the run goes on without.
    """

    panel: Panel
    run_id: int
    name: str
    eye: Eye
    watch: Watch
    _since: float | None = None
    _told: bool = False
    _paused: bool = False
    _noted: set[str] = field(default_factory=set)

    def tell(self) -> None:
        state = self.panel.worst()
        for sensor, note in self.panel.notes():
            if sensor not in self._noted:
                self._noted.add(sensor)
                self.watch.say(note)
        if state.degree is Degree.CRITICAL and not self._paused:
            self._paused = pause_by_sensor(self.eye, self.name, actor(), state.text)
            if self._paused:
                self.watch.say(f"{state.text}: the run is paused")
        elif state.degree >= Degree.HARD:
            self._since = time.monotonic() if self._since is None else self._since
            if not self._told and time.monotonic() - self._since >= TOLD_AFTER:
                self._told = write_down(self.eye, self.run_id, actor(), "hold", state.text)
        else:
            if self._told and write_down(self.eye, self.run_id, actor(), "go on", ""):
                self._told = False
            self._since = None if not self._told else self._since
