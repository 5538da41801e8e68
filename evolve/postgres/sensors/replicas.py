"""What `pg_stat_replication` says of each standby and each other receiver of the log."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Degree, Reading
from evolve.postgres.sensors.eye import Blind, Eye

# AccessShare on catalogs only; all but the pid is null for roles without pg_monitor. What applies nothing, such as
# pg_receivewal, has no replay_lsn. What is replayed is read after how far the log has come, and may be ahead of that.
_STANDBYS = sql.SQL("""
    SELECT coalesce(application_name, ''), state IS NULL,
           greatest(pg_wal_lsn_diff(pg_current_wal_lsn(),
                                    coalesce(replay_lsn, flush_lsn, write_lsn, sent_lsn)), 0)::float8,
           greatest(extract(epoch FROM replay_lag), 0)::float8
      FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'
""")


@dataclass(frozen=True, slots=True)
class Standby:
    """
    Args:
        name: its application_name.
        lag: bytes of WAL that it has yet to replay.
        delay: seconds from the commit of what it replayed last, here, to its replay there.
    """

    name: str
    lag: float
    delay: float


def standbys(eye: Eye, ignore: tuple[str, ...]) -> list[Standby]:
    """
    Raises:
        Blind: this role may not see them.
    """
    rows = eye.rows(_STANDBYS)
    if any(hidden for _, hidden, _, _ in rows):
        raise Blind("standbys cannot be seen by this role (GRANT pg_monitor)")
    found = [Standby(str(name), float(str(lag)), float(str(delay))) for name, _, lag, delay in rows]
    return [standby for standby in found if standby.name not in ignore]


def missing(found: list[Standby], wanted: tuple[str, ...]) -> Reading | None:
    """What is told where one of `wanted` is not there; None where all are."""
    gone = sorted(set(wanted) - {standby.name for standby in found})
    if not gone:
        return None
    names = ", ".join(f'"{name}"' for name in gone)
    return Reading(
        None,
        f"standby {names} is not connected" if len(gone) == 1 else f"standbys {names} are not connected",
        Degree.HARD,
    )
