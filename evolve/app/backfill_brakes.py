"""All that makes the workers of one process wait, put together from its pace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from evolve.app.backfill_work import Pace, actor
from evolve.app.instruments import WAL_EVERY, instruments_of, look_at_log
from evolve.backfill.gauge import Crowded, Eased, Gauge, Panel
from evolve.backfill.ports import Watch
from evolve.backfill.record import RunRecord
from evolve.backfill.sensor import Degree
from evolve.backfill.sensor_kinds import with_hard
from evolve.backfill.settings import OFF, Settings
from evolve.backfill.throttle import RowsPerSecond, Throttle, Throttles, WalPerSecond
from evolve.backfill.transform import Transform
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.looking import Looking, Task
from evolve.postgres.sensors.make import Subject
from evolve.postgres.sensors.telling import pause_by_sensor, write_down
from evolve.postgres.sharing import Sharing

TELL_EVERY = 0.25
SHARE_EVERY = 1.0  # seconds between two looks at how many workers the run has elsewhere
TOLD_AFTER = 2.0  # seconds that a hold lasts until it is an event of the run


@dataclass(slots=True)
class Brakes:
    """The limits of one process, beside the share of the time that each worker has for itself.

    Args:
        most_rows: a second, that the specification itself allows each process.
        plugged: what plugins bring.
        lag, delay: how far standbys are behind; None where nobody looks.
        waiters: how long somebody has waited for a lock of the run; None where nobody looks.
        sharing: the part of the run's limits that is this process's.
    """

    panel: Panel
    wal: WalPerSecond
    plugged: tuple[Throttle, ...]
    most_rows: float
    lag: Gauge | None
    delay: Gauge | None
    waiters: Gauge | None
    sharing: Sharing

    def together(self, settings: Settings) -> Throttle:
        """What holds for all workers together, by settings of which none is left open."""
        rows = OFF if settings.rows is None else settings.rows
        self.wal.go_by(OFF if settings.wal is None else settings.wal)
        if self.lag is not None:
            self.lag.off = settings.lag in (None, OFF)
            if self.delay is not None:
                self.delay.off = self.lag.off
            if not self.lag.off and settings.lag != self.lag.limits.hard:
                self.lag.limits = with_hard(self.lag.limits, float(settings.lag or 0))
        return Throttles(
            (
                RowsPerSecond(rows, time.monotonic, lambda: self.sharing.part),
                RowsPerSecond(self.most_rows, time.monotonic),
                self.wal,
                *self.plugged,
            )
        )

    def alone(self) -> Throttle:
        """What sensors say, for one worker."""
        return Eased(self.panel, time.monotonic)

    def crowded(self) -> Crowded:
        """Whether somebody waits for a lock of the run, for one worker."""
        return Crowded(self.waiters)


@contextmanager
def brakes_of(
    url: str, record: RunRecord, table_oid: int, pace: Pace, settings: Settings, watch: Watch
) -> Iterator[Brakes]:
    """Sensors are looked at until the block ends, over connections of their own.

    Sensors of the server are looked at once before. One that nobody asked for and that cannot see is done without.

    Raises:
        CannotImport, NoFunction: the function of a sensor is not there.
    """
    eye, own_eye = Eye(url), Eye(url)
    try:
        found = instruments_of(pace.throttling, Subject(record.run_id, table_oid), eye, own_eye, watch.say)
        server = found.server
        panel = found.panel
        rate = record.spec.work.rate if isinstance(record.spec.work, Transform) else None
        sharing = Sharing(eye, record.run_id)
        brakes = Brakes(
            panel,
            WalPerSecond(OFF, time.monotonic, lambda: sharing.part),
            found.plugged,
            OFF if rate is None else rate,
            found.standbys["replica-lag"],
            found.standbys["replica-delay"],
            next((gauge for gauge in server if gauge.sensor.name == "waiters"), None),
            sharing,
        )
        brakes.together(settings)
        for gauge in server:
            gauge.look()
        sharing.look()
        teller = _Teller(panel, record.run_id, record.name, eye, watch)
        groups: list[tuple[list[Task], Eye | None]] = [
            (
                [
                    *(Task(gauge.every, gauge.look, time.monotonic() + gauge.every) for gauge in server),
                    Task(WAL_EVERY, lambda: look_at_log(eye, brakes.wal)),
                    Task(SHARE_EVERY, sharing.look),
                    Task(TELL_EVERY, teller.tell),
                ],
                eye,
            ),
            ([Task(gauge.every, gauge.look) for gauge in found.own], own_eye),
            *(([Task(gauge.every, gauge.look)], None) for gauge in found.outside),
        ]
    except BaseException:
        eye.close()
        own_eye.close()
        raise
    with Looking([group for group in groups if group[0]]):
        yield brakes


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
