"""The record of upgrades in schema `evolve`: runs, revisions, and what of a revision became permanent before its end.

All is written on the connection that holds the runner's lock, in autocommit mode: each function is one transaction, and
what it wrote outlives whatever happens to the revision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Literal

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from evolve.errors import Misuse
from evolve.postgres.blockers import Blocker
from evolve.postgres.connect import Connection
from evolve.postgres.publications import of_all_tables
from evolve.postgres.runner_lock import RecordLocked, RunnerLockLost

VERSION = 2

Direction = Literal["upgrade", "downgrade"]
State = Literal["sent", "done", "failed"]
# What became of a transaction: "unknown" where the server has forgotten it.
Fate = Literal["committed", "aborted", "in progress", "unknown"]


class RecordTooNew(Misuse):
    def __init__(self, version: int) -> None:
        super().__init__(
            f"the record of upgrades in this database has version {version}, this evolve knows version {VERSION}",
            why="a newer evolve has worked here; an older one could misread what it left half-done",
            fix="install that evolve here as well",
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """A statement of a revision that was sent for good, or was about to be.

    Args:
        transaction: that did it, by its id; None where it was sent outside one.
        state: "sent" where nobody has heard what became of it.
    """

    ordinal: int
    summary: str
    place: str
    digest: str
    search_path: str
    transaction: str | None
    returned_rows: bool
    state: State

    def __str__(self) -> str:
        return f"{self.summary} ({self.place})"


@dataclass(frozen=True, slots=True)
class LiveBackend:
    """A session of an earlier run that the server has not ended yet; `query` is its first 80 characters."""

    pid: int
    query: str


@dataclass(frozen=True, slots=True)
class NotKept:
    """Why no record is kept, and what to do about it."""

    reason: str
    fix: str


_GRANT = "CREATE SCHEMA IF NOT EXISTS evolve; GRANT ALL ON SCHEMA evolve TO the role that connects"


def can_record(connection: Connection) -> NotKept | None:
    """Create schema and tables where they are missing; returns why that may not be, None where all is there.

    Raises:
        RecordTooNew: a newer evolve made them.
    """
    version = _installed_version(connection)
    if version is not None and version > VERSION:
        raise RecordTooNew(version)
    try:
        with connection.transaction():
            # No lock. A record that is lost in a crash would be none.
            connection.execute("SET synchronous_commit = on")
        if version == VERSION:
            lacks = _lacks(connection)
            return NotKept(lacks, _GRANT) if lacks else None
        if published := of_all_tables(connection):
            return NotKept(
                f"publication {', '.join(published)} sends all tables, and a subscriber stops at a row of one it lacks",
                "let it name schemas or tables; or make them there and here: evolve/postgres/schema/upgrade.sql",
            )
        with connection.transaction():
            # No table lock; two first runs at once, of two projects, would both create the schema and one would fail.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve'), hashtext('upgrade'))")
            # No lock on anything of the application. CREATE SCHEMA IF NOT EXISTS asks for the right to create one even
            # where it is there already.
            if connection.execute("SELECT to_regnamespace('evolve') IS NULL").fetchone() == (True,):
                connection.execute("CREATE SCHEMA evolve")
            connection.execute(files("evolve.postgres.schema").joinpath("upgrade.sql").read_bytes())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        return NotKept(error.diag.message_primary or str(error), _GRANT)
    return None


def _installed_version(connection: Connection) -> int | None:
    # ACCESS SHARE on catalogs only. to_regclass() would fail for a role that may not use the schema.
    row = connection.execute(
        "SELECT obj_description(c.oid, 'pg_class') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'evolve' AND c.relname = 'upgrade_run'"
    ).fetchone()
    if row is None:
        return None
    word = str(row[0]).rsplit(" ", 1)[-1]
    return int(word) if word.isdigit() else 0


def applied_at(connection: Connection, revisions: Collection[str]) -> datetime | None:
    """When `evolve upgrade` has applied the last of `revisions` here; None where it did not, or may not tell."""
    if not _installed_version(connection) or _lacks(connection):
        return None
    # ACCESS SHARE on tables of evolve's own.
    row = connection.execute(
        "SELECT max(s.ended_at) FROM evolve.upgrade_step AS s JOIN evolve.upgrade_run AS r USING (run_id)"
        " WHERE s.revision = ANY (%s) AND s.state = 'done' AND r.direction = 'upgrade'",
        (list(revisions),),
    ).fetchone()
    return row[0] if row is not None and isinstance(row[0], datetime) else None


def _lacks(connection: Connection) -> str | None:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT string_agg(c.relname, ', ') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'evolve' AND c.relname IN ('upgrade_run', 'upgrade_step', 'upgrade_statement')"
        " AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        " AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE'))"
    ).fetchone()
    return f"permission denied for {row[0]}" if row is not None and row[0] else None


class UpgradeRecord:
    """Writes what one run does; every method is one short transaction on tables of evolve's own.

    Raises:
        RunnerLockLost: the connection, and with it the lock, is gone.
        RecordLocked: another session keeps one of the tables for longer than `lock_timeout`.
    """

    def __init__(self, connection: Connection, version_table: str) -> None:
        self._connection = connection
        self._version_table = version_table
        self._run = 0
        self._step = 0

    # -- runs and steps ------------------------------------------------------------------------------------------
    def begin_run(self, direction: Direction, target: str, applied: Collection[str]) -> None:
        """Begin a run; half-done revisions that somebody has settled by hand since are let go.

        Args:
            applied: the revisions that the database has; of several places, those that all have, or on the way down
                those that any has.
        """
        with self._held():
            # ROW EXCLUSIVE on tables of evolve's own, here and below.
            self._run = self._number(
                "INSERT INTO evolve.upgrade_run (version_table, direction, target, actor)"
                " VALUES (%s, %s, %s, session_user || coalesce('@' || inet_client_addr(), '')) RETURNING run_id",
                (self._version_table, direction, target),
            )
            self._connection.execute(
                "UPDATE evolve.upgrade_step AS s SET state = 'left' FROM evolve.upgrade_run AS r"
                " WHERE r.run_id = s.run_id AND r.version_table = %s AND s.state IN ('running', 'failed')"
                " AND r.direction = %s AND (r.direction = 'upgrade') = (s.revision = ANY (%s))",
                (self._version_table, direction, list(applied)),
            )

    def begin_step(self, revision: str, direction: Direction, stamp: str = "") -> None:
        """Begin a revision, with what an earlier run has left of it in the same direction.

        Args:
            stamp: of the row that it replaces in Alembic's table. Where Alembic itself has passed there since, what an
                earlier run has left is not there any more, or through.
        """
        with self._held(), self._connection.transaction():
            earlier = self._connection.execute(
                "SELECT s.step_id, r.direction = %s AND s.state IN ('running', 'failed')"
                " AND (s.stamp = %s OR '' IN (s.stamp, %s)) FROM evolve.upgrade_step AS s"
                " JOIN evolve.upgrade_run AS r USING (run_id)"
                " WHERE s.revision = %s AND r.version_table = %s ORDER BY s.step_id DESC LIMIT 1",
                (direction, stamp, stamp, revision, self._version_table),
            ).fetchone()
            self._step = self._number(
                "INSERT INTO evolve.upgrade_step (run_id, revision, stamp) VALUES (%s, %s, %s) RETURNING step_id",
                (self._run, revision, stamp),
            )
            if earlier is None or earlier[1] is not True:
                return
            self._connection.execute(
                "WITH moved AS ("
                "UPDATE evolve.upgrade_step SET state = 'left' WHERE step_id = %(old)s RETURNING backends, stamped_by)"
                " UPDATE evolve.upgrade_step AS s SET backends = moved.backends, stamped_by = moved.stamped_by"
                " FROM moved WHERE s.step_id = %(new)s",
                {"old": earlier[0], "new": self._step},
            )
            self._connection.execute(
                "INSERT INTO evolve.upgrade_statement SELECT %s, ordinal, summary, place, digest, search_path,"
                " transaction, returned_rows, state, sent_at, ended_at"
                " FROM evolve.upgrade_statement WHERE step_id = %s",
                (self._step, earlier[0]),
            )

    def attempt(self) -> None:
        self._write(
            "UPDATE evolve.upgrade_step SET attempts = attempts + 1 WHERE step_id = %s", (self._step,)
        )

    def backend(self, pid: int, began: str) -> None:
        """Remember a session of env.py, to look later whether it has ended."""
        self._write(
            "UPDATE evolve.upgrade_step SET backends = array_append(backends, %s) WHERE step_id = %s",
            (f"{pid} {began}", self._step),
        )

    def end_step(self, *, done: bool, blockers: Sequence[Blocker]) -> None:
        shown = [
            {
                "pid": blocker.pid,
                "user": blocker.user,
                "application": blocker.application,
                "age": round(blocker.age.total_seconds(), 3),
                "query": blocker.query,
                "ended": blocker.ended,
            }
            for blocker in blockers
        ]
        self._write(
            "UPDATE evolve.upgrade_step SET state = %s, blockers = %s, ended_at = clock_timestamp() WHERE step_id = %s",
            ("done" if done else "failed", Jsonb(shown), self._step),
        )

    def end_run(self, error: str | None) -> None:
        self._write(
            "UPDATE evolve.upgrade_run SET ended_at = clock_timestamp(), error = %s WHERE run_id = %s",
            (error, self._run),
        )

    # -- statements ----------------------------------------------------------------------------------------------
    def statements(self) -> dict[int, Recorded]:
        """Those of the revision at hand, by ordinal."""
        with self._held(), self._connection.cursor(row_factory=class_row(Recorded)) as cursor:
            # ACCESS SHARE on a table of evolve's own.
            cursor.execute(
                "SELECT ordinal, summary, place, digest, search_path, transaction::text, returned_rows, state"
                " FROM evolve.upgrade_statement WHERE step_id = %s ORDER BY ordinal",
                (self._step,),
            )
            return {row.ordinal: row for row in cursor}

    def write(self, statements: Sequence[Recorded]) -> None:
        """Write them all at once, over what was written of the same ordinals before."""
        with self._held(), self._connection.transaction():
            for one in statements:
                self._connection.execute(
                    "INSERT INTO evolve.upgrade_statement (step_id, ordinal, summary, place, digest, search_path,"
                    " transaction, returned_rows, state) VALUES (%s, %s, %s, %s, %s, %s, %s::text::xid8, %s, %s)"
                    " ON CONFLICT (step_id, ordinal) DO UPDATE SET summary = excluded.summary, place = excluded.place,"
                    " digest = excluded.digest, search_path = excluded.search_path, transaction = excluded.transaction,"
                    " returned_rows = excluded.returned_rows, state = excluded.state, sent_at = clock_timestamp(),"
                    " ended_at = NULL",
                    (
                        self._step,
                        one.ordinal,
                        one.summary,
                        one.place,
                        one.digest,
                        one.search_path,
                        one.transaction,
                        one.returned_rows,
                        one.state,
                    ),
                )

    def settle(self, ordinal: int, state: State, *, returned_rows: bool = False) -> None:
        """Write what became of a statement."""
        self._write(
            "UPDATE evolve.upgrade_statement SET state = %s, returned_rows = returned_rows OR %s,"
            " ended_at = clock_timestamp() WHERE step_id = %s AND ordinal = %s",
            (state, returned_rows, self._step, ordinal),
        )

    def forget(self) -> None:
        """Let go all that was done of the revision at hand: somebody has undone it."""
        with self._held(), self._connection.transaction():
            # ROW EXCLUSIVE on tables of evolve's own.
            self._connection.execute("DELETE FROM evolve.upgrade_statement WHERE step_id = %s", (self._step,))
            self._connection.execute(
                "UPDATE evolve.upgrade_step SET stamped_by = NULL WHERE step_id = %s", (self._step,)
            )

    def stamps(self, transaction: str) -> None:
        """Write which transaction brings the statements so far to their end, where it is committed."""
        self._write(
            "UPDATE evolve.upgrade_step SET stamped_by = %s::text::xid8 WHERE step_id = %s",
            (transaction, self._step),
        )

    def stamped_by(self) -> str | None:
        with self._held():
            # ACCESS SHARE on a table of evolve's own.
            row = self._connection.execute(
                "SELECT stamped_by::text FROM evolve.upgrade_step WHERE step_id = %s", (self._step,)
            ).fetchone()
        return str(row[0]) if row is not None and row[0] is not None else None

    # -- what became of an earlier run -------------------------------------------------------------------------------
    def fate(self, transaction: str) -> Fate:
        """What became of a transaction in the middle of a revision."""
        with self._held():
            try:
                # No lock.
                row = self._connection.execute(
                    "SELECT pg_xact_status(%s::text::xid8)", (transaction,)
                ).fetchone()
            except psycopg.errors.InvalidParameterValue:  # an id of the future: the database was restored
                return "unknown"
        for fate in ("committed", "aborted", "in progress"):
            if row is not None and row[0] == fate:
                found: Fate = fate
                return found
        return "unknown"

    def live_backend(self, besides: Sequence[int]) -> LiveBackend | None:
        """A session that an earlier run has opened for this revision, and that works on without it."""
        with self._held():
            # ACCESS SHARE on catalogs only.
            row = self._connection.execute(
                "SELECT a.pid, left(coalesce(a.query, ''), 80) FROM evolve.upgrade_step AS s"
                " JOIN pg_stat_activity AS a ON a.pid || ' ' || extract(epoch FROM a.backend_start) = ANY (s.backends)"
                " WHERE s.step_id = %s AND a.pid <> ALL (%s::int[]) ORDER BY a.pid LIMIT 1",
                (self._step, list(besides)),
            ).fetchone()
        return LiveBackend(int(str(row[0])), " ".join(str(row[1]).split())) if row is not None else None

    # -- below -------------------------------------------------------------------------------------------------------
    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self._held():
            # ROW EXCLUSIVE on a table of evolve's own.
            self._connection.execute(statement.encode(), values)

    def _number(self, statement: str, values: tuple[object, ...]) -> int:
        row = self._connection.execute(statement.encode(), values).fetchone()
        return int(str(row[0])) if row is not None else 0

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Tell a lost connection as what it means: SQLAlchemy would take the driver's error for one of the revision."""
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            raise RecordLocked(str(error).strip().splitlines()[0]) from error
        except psycopg.OperationalError as error:
            if not self._connection.broken:
                raise
            raise RunnerLockLost(str(error).strip().splitlines()[0]) from error
