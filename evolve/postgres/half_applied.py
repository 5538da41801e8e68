"""What runs that were cut short have left: of revisions which the database does not have, or of those that it has."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import psycopg

from evolve.errors import Refused
from evolve.postgres.connect import Connection
from evolve.postgres.lock_waits import lock_timeout as waits
from evolve.sql.names import QualifiedName

Direction = Literal["upgrade", "downgrade"]
IndexState = Literal["valid", "invalid", "missing"]


class CannotTakeBack(Refused):
    def __init__(self, revision: str, statement: str, error: psycopg.Error) -> None:
        super().__init__(
            f"what an upgrade had done of revision {revision} before it was cut short could not be taken back: "
            f"{error.diag.message_primary or error}\n  sql: {' '.join(statement.split())}",
            why="no revision was reverted: what comes before this one may rest on it",
            fix="mend that and run it again; or go forward, then back: evolve upgrade",
        )


@dataclass(frozen=True, slots=True)
class Left:
    """A revision that an upgrade was cut short in.

    Args:
        at_work: a session of that upgrade which the server has not ended yet: its pid and its statement.
    """

    revision: str
    at_work: tuple[int, str] | None


def left_half_done(connection: Connection, version_table: str, applied: Collection[str]) -> list[Left]:
    """Revisions not among `applied` of which an upgrade has sent something outside of a transaction; newest first."""
    if not _may_look(connection):
        return []
    # ACCESS SHARE on tables of evolve's own, and on catalogs.
    rows = connection.execute(
        "SELECT s.revision, max(a.pid), max(left(a.query, 80)) FROM evolve.upgrade_step AS s"
        " JOIN evolve.upgrade_run AS r USING (run_id) LEFT JOIN pg_stat_activity AS a"
        " ON a.pid || ' ' || extract(epoch FROM a.backend_start) = ANY (s.backends)"
        " WHERE r.version_table = %s AND r.direction = 'upgrade' AND s.state IN ('running', 'failed')"
        " AND s.revision <> ALL (%s)"
        " AND EXISTS (SELECT FROM evolve.upgrade_statement AS t WHERE t.step_id = s.step_id AND t.state <> 'failed')"
        " GROUP BY s.revision ORDER BY max(s.step_id) DESC",
        (version_table, list(applied)),
    ).fetchall()
    return [
        Left(str(revision), None if pid is None else (int(str(pid)), " ".join(str(query).split())))
        for revision, pid, query in rows
    ]


@dataclass(frozen=True, slots=True)
class HalfReverted:
    """A revision that a downgrade was cut short in.

    Args:
        stamp: of its row in Alembic's table, when that began; empty where nobody knows.
        done: the statements that were sent for good.
    """

    revision: str
    stamp: str
    done: tuple[str, ...]


def half_reverted(connection: Connection, version_table: str, applied: Collection[str]) -> list[HalfReverted]:
    """Revisions among `applied` that a downgrade was at last, and has sent something of for good; newest first."""
    if not _may_look(connection):
        return []
    # ACCESS SHARE on tables of evolve's own.
    rows = connection.execute(
        # A record of an earlier version has no stamps.
        "SELECT s.revision, coalesce(to_jsonb(s) ->> 'stamp', ''),"
        " array_agg(t.summary || ' (' || t.place || ')' ORDER BY t.ordinal)"
        " FROM evolve.upgrade_step AS s JOIN evolve.upgrade_run AS r USING (run_id)"
        " JOIN evolve.upgrade_statement AS t USING (step_id)"
        " WHERE r.version_table = %s AND r.direction = 'downgrade' AND s.state IN ('running', 'failed')"
        " AND s.revision = ANY (%s) AND t.state <> 'failed' AND NOT EXISTS ("
        "SELECT FROM evolve.upgrade_step AS l JOIN evolve.upgrade_run AS lr USING (run_id)"
        " WHERE l.revision = s.revision AND l.step_id > s.step_id AND lr.version_table = r.version_table)"
        " GROUP BY s.step_id, s.* ORDER BY s.step_id DESC",
        (version_table, list(applied)),
    ).fetchall()
    return [
        HalfReverted(str(revision), str(stamp), tuple(str(each) for each in done))
        for revision, stamp, done in rows
        if isinstance(done, list)
    ]


def _may_look(connection: Connection) -> bool:
    # ACCESS SHARE on catalogs only. to_regclass() would fail for a role that may not use the schema.
    there = connection.execute(
        "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'UPDATE') FROM pg_class AS c"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'evolve' AND c.relname = 'upgrade_statement'"
    ).fetchone()
    return there == (True,)


def state_of_index(connection: Connection, index: QualifiedName) -> IndexState:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT i.indisvalid FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        (index.schema, index.name),
    ).fetchone()
    if row is None:
        return "missing"
    return "valid" if row[0] is True else "invalid"


def undo(connection: Connection, revision: str, statement: str, lock_timeout: int) -> None:
    """Send one statement of an undo; its lock is that of the plan it comes from.

    Args:
        connection: in autocommit mode.
        lock_timeout: milliseconds; only statements that nobody queues behind are sent.

    Raises:
        CannotTakeBack: the server refused it.
    """
    try:
        with waits(connection, lock_timeout):
            connection.execute(statement.encode())
    except psycopg.Error as error:
        raise CannotTakeBack(revision, statement, error) from error


def settle(
    connection: Connection, version_table: str, revision: str, direction: Direction = "upgrade"
) -> None:
    """Let go of what was recorded of an upgrade of it, or a downgrade: nothing of that is left."""
    # ROW EXCLUSIVE on tables of evolve's own.
    connection.execute(
        "UPDATE evolve.upgrade_step AS s SET state = 'left' FROM evolve.upgrade_run AS r"
        " WHERE r.run_id = s.run_id AND r.version_table = %s AND r.direction = %s AND s.revision = %s"
        " AND s.state IN ('running', 'failed')",
        (version_table, direction, revision),
    )
