"""How far a standby has replayed what its primary wrote, and whether it is a standby of that primary at all."""

from __future__ import annotations

from psycopg.rows import class_row

from evolve.errors import Misuse
from evolve.postgres.connect import Connection
from evolve.postgres.writable import is_standby
from evolve.values import dataclass


class NotAStandby(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "the server named by --on is no standby",
            why="a server that takes writes of its own says nothing about those of another",
            fix="name a standby; without --on the primary itself is read",
        )


class OtherCluster(Misuse):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the server named by --on holds something else: {reason}",
            why="only a standby that repeats the writes of the run's own database can show what they left",
            fix="name a physical standby of the database in --database-url, and the same database in it",
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in what a server wrote.

    Args:
        cluster: the system's identifier, which a primary shares with its physical standbys.
        database: oid of the one that is connected to.
        lsn: position in its WAL.
        at: ISO 8601, by its clock.
    """

    cluster: str
    database: int
    lsn: str
    at: str


def now(connection: Connection) -> Moment:
    """The present of a primary."""
    with connection.cursor(row_factory=class_row(Moment)) as cursor:
        # AccessShare on a catalog only.
        found = cursor.execute(
            "SELECT system_identifier::text AS cluster, d.oid::bigint AS database, pg_current_wal_lsn()::text AS lsn,"
            " to_jsonb(clock_timestamp()) #>> '{}' AS at"
            " FROM pg_control_system(), pg_database d WHERE d.datname = current_database()"
        ).fetchone()
    if found is None:
        raise LookupError("the database that this session is in is not in pg_database")
    return found


def refuse_other(standby: Connection, primary: Moment) -> None:
    """
    Raises:
        NotAStandby, OtherCluster: what was read there would say nothing about the database of `primary`.
    """
    if not is_standby(standby):
        raise NotAStandby
    # AccessShare on a catalog only.
    row = standby.execute(
        "SELECT system_identifier::text, d.oid::bigint FROM pg_control_system(), pg_database d"
        " WHERE d.datname = current_database()"
    ).fetchone()
    if row is None or row[0] != primary.cluster:
        raise OtherCluster("it belongs to another primary")
    if row[1] != primary.database:
        raise OtherCluster(f'database "{standby.info.dbname}" is another one there')


def bytes_behind(standby: Connection, lsn: str) -> int:
    """Bytes of WAL that it has yet to replay up to `lsn`; 0 where it is past that."""
    row = standby.execute(
        "SELECT greatest(0, pg_wal_lsn_diff(%s::pg_lsn, pg_last_wal_replay_lsn()))::bigint", (lsn,)
    ).fetchone()
    return int(str(row[0])) if row else 0


def shows(standby: Connection, primary: Moment) -> str:
    """The time up to which it holds what was written, as ISO 8601: that of `primary` where it has caught up with it."""
    if bytes_behind(standby, primary.lsn) == 0:
        return primary.at
    row = standby.execute("SELECT to_jsonb(pg_last_xact_replay_timestamp()) #>> '{}'").fetchone()
    return primary.at if row is None or row[0] is None else str(row[0])
