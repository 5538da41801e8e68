"""From the choice of a sensor to the sensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evolve.backfill.sensor import Sensor
from evolve.backfill.sensor_kinds import BUILT_IN, Choice
from evolve.postgres.sensors.archiver import Archiver
from evolve.postgres.sensors.commit_latency import CommitLatency
from evolve.postgres.sensors.disk import Disk
from evolve.postgres.sensors.eye import Eye
from evolve.postgres.sensors.http import Http, Prometheus
from evolve.postgres.sensors.old_snapshot import OldestSnapshot
from evolve.postgres.sensors.outside import FlagFile, Function
from evolve.postgres.sensors.own_sql import OwnSql
from evolve.postgres.sensors.replica_delay import ReplicaDelay
from evolve.postgres.sensors.replica_lag import ReplicaLag
from evolve.postgres.sensors.sessions import Sessions
from evolve.postgres.sensors.slots import Slots
from evolve.postgres.sensors.vacuum import Vacuum
from evolve.postgres.sensors.waiters import Waiters
from evolve.postgres.sensors.wal_rate import WalRate
from evolve.postgres.sensors.wraparound import Wraparound
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: a run and its table.

    Args:
        run_id: None where no backfill is at work but a conversion or a move of partitions.
    """

    run_id: int | None
    table_oid: int


def of_server(choice: Choice) -> bool:
    """It is asked of the server, in a statement that evolve wrote and that takes no time."""
    return choice.kind in BUILT_IN


def make_sensor(
    choice: Choice, subject: Subject, eye: Eye, function: Callable[[str], Callable[[], object]]
) -> Sensor:
    """
    Args:
        function: finds the Python function of a name such as "package.module:function".
    """
    takes = choice.takes
    made: dict[str, Callable[[], Sensor]] = {
        "replica-lag": lambda: ReplicaLag(eye, takes.get("standbys", ()), takes.get("ignore", ())),
        "replica-delay": lambda: ReplicaDelay(eye, takes.get("standbys", ()), takes.get("ignore", ())),
        "slots": lambda: Slots(eye, takes.get("ignore", ())),
        "archiver": lambda: Archiver(eye),
        "wal-rate": lambda: WalRate(eye),
        "old-snapshot": lambda: OldestSnapshot(eye),
        "waiters": lambda: Waiters(eye, subject.run_id),
        "sessions": lambda: Sessions(eye, subject.run_id),
        "commit-latency": lambda: CommitLatency(eye),
        "vacuum": lambda: Vacuum(eye, subject.table_oid),
        "disk": lambda: Disk(eye, subject.table_oid),
        "wraparound": lambda: Wraparound(eye),
        "sql": lambda: OwnSql(eye, choice.name, choice.unit, choice.limits, choice.source),
        "http": lambda: Http(choice.name, choice.source),
        "prometheus": lambda: Prometheus(
            choice.name, choice.source, takes["query"][0], choice.unit, choice.limits
        ),
        "python": lambda: Function(choice.name, choice.unit, choice.limits, function(choice.source)),
        "file": lambda: FlagFile(choice.name, Path(choice.source)),
    }
    return made[choice.kind]()
