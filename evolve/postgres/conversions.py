"""The journal of conversions: opened, looked up, and moved on from step to step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import cast

import psycopg

from evolve.errors import Misuse, Refused
from evolve.partition.conversion import Conversion, Record, State, StepRecord
from evolve.partition.record import NotARecord, decode, encode
from evolve.partition.steps import Track
from evolve.postgres.connect import Connection, connect
from evolve.postgres.failure import message
from evolve.postgres.pooler import refuse_pooled
from evolve.postgres.writable import refuse_read_only
from evolve.sql.names import QualifiedName

_TRACKS: tuple[Track, ...] = ("forward", "abandon", "back", "finish")

# "evpa" in ASCII is the class of the runner's lock, the next number that of its worker's.
_RUNNER_LOCK = 0x65767061
_WORKER_LOCK = _RUNNER_LOCK + 1


class JournalDenied(Misuse):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f'the journal in schema "evolve" cannot be made: {reason}',
            why="every step is noted in the database it changes, so that a crash at any moment can be resumed",
            fix="have an administrator run: CREATE SCHEMA IF NOT EXISTS evolve; GRANT ALL ON SCHEMA evolve TO …",
        )


class NoConversion(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'no conversion of "{table.plain}" is under way',
            fix=f"look at it: evolve partition status {table.shell}",
        )


class ConversionExists(Refused):
    def __init__(self, table: QualifiedName, state: str, command: str = "convert") -> None:
        what = "conversion" if command == "convert" else command
        last = ", or for good: evolve partition finish " + table.plain if state == "swapped" else ""
        super().__init__(
            f'a {what} of "{table.plain}" is under way already ({state})',
            fix=f"evolve partition {command} {table.shell} --resume, or --rollback{last}",
        )


class ConversionBusy(Refused):
    def __init__(self, table: QualifiedName, holder: str) -> None:
        super().__init__(
            f'another process is converting "{table.plain}": {holder}',
            why="two at once would step on each other",
            fix=f"wait for it, or look on: evolve partition status {table.shell}",
        )


class UnreadablePlan(Misuse):
    def __init__(self, table: QualifiedName, reason: str) -> None:
        super().__init__(
            f'the journalled plan of "{table.plain}" cannot be read: {reason}',
            why="another version of evolve wrote it, or somebody changed it",
            fix="resume with the version that began it",
        )


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a table was partitioned by evolve: what upkeep goes by where no configuration says it."""

    method: str
    options: dict[str, object]


def ensure_journal(connection: Connection) -> None:
    """Create schema and tables where they are missing.

    Raises:
        JournalDenied: the role may not.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT to_regclass('evolve.partition_range') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_constraint "
        "WHERE conname = 'partition_conversion_recipe_check' AND pg_get_constraintdef(oid) NOT LIKE '%drain%')"
    ).fetchone()
    if row == (True,):
        return
    try:
        with connection.transaction():
            # No table lock: two sessions that create the same schema at once would both fail without it.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve'), hashtext('journal'))")
            # IF NOT EXISTS would ask for CREATE on the database even where the schema is there.
            if connection.execute("SELECT to_regnamespace('evolve') IS NULL").fetchone() == (True,):
                # No lock on a table.
                connection.execute("CREATE SCHEMA evolve")
            # No lock on a table that existed before.
            connection.execute(_SCHEMA)
    except psycopg.Error as error:
        raise JournalDenied(message(error)) from error


def open_conversion(connection: Connection, conversion: Conversion) -> Record:
    """Write the plan down; nothing of it is done yet.

    Raises:
        ConversionExists: one of this table is under way.
    """
    table = conversion.table
    found = find_conversion(connection, table)
    if found is not None:
        raise ConversionExists(table, found.state, found.conversion.command)
    plan = json.dumps(encode(conversion))
    with connection.transaction():
        # ROW EXCLUSIVE on the journal only.
        row = connection.execute(
            "INSERT INTO evolve.partition_conversion (table_schema, table_name, method, options, recipe, plan) "
            "VALUES (%s, %s, %s, %s, %s, %s) RETURNING conversion_id",
            (table.schema, table.name, conversion.method, conversion.options, conversion.recipe, plan),
        ).fetchone()
        identity = row[0] if row else None
        steps = [
            (identity, track, number, step.name, step.title)
            for track in _TRACKS
            for number, step in enumerate(conversion.steps(track))
        ]
        with connection.cursor() as cursor:
            # ROW EXCLUSIVE on the journal only.
            cursor.executemany(
                "INSERT INTO evolve.partition_step (conversion_id, track, number, name, title) "
                "VALUES (%s, %s, %s, %s, %s)",
                steps,
            )
    record = find_conversion(connection, table)
    if record is None:
        raise NoConversion(table)
    return record


def find_conversion(connection: Connection, table: QualifiedName, *, ended: bool = False) -> Record | None:
    """The conversion of `table` that is under way.

    Args:
        ended: else the last one that has ended.

    Raises:
        UnreadablePlan: another version wrote it.
    """
    if not _installed(connection):
        return None
    # ACCESS SHARE on the journal only.
    row = connection.execute(
        "SELECT conversion_id, state, track, plan FROM evolve.partition_conversion "
        "WHERE table_schema = %s AND table_name = %s AND (%s OR state NOT IN ('finished', 'abandoned')) "
        "ORDER BY state NOT IN ('finished', 'abandoned') DESC, conversion_id DESC LIMIT 1",
        (table.schema, table.name, ended),
    ).fetchone()
    if row is None:
        return None
    identity, state, track, plan = row
    try:
        conversion = decode(Conversion, plan)
    except (NotARecord, KeyError, TypeError) as error:
        raise UnreadablePlan(table, str(error)) from error
    # ACCESS SHARE on the journal only.
    steps = connection.execute(
        "SELECT track, number, name, title, rows, done_at IS NOT NULL, "
        "extract(epoch FROM coalesce(done_at, clock_timestamp()) - started_at)::float8 "
        "FROM evolve.partition_step WHERE conversion_id = %s ORDER BY track, number",
        (identity,),
    ).fetchall()
    return Record(
        cast("int", identity),
        conversion,
        cast("State", state),
        cast("Track", track),
        tuple(
            StepRecord(*cast("tuple[Track, int, str, str, int, bool, float | None]", step)) for step in steps
        ),
    )


def last_scheme(connection: Connection, table: QualifiedName) -> Scheme | None:
    """How the last conversion that got through partitioned `table`."""
    if not _installed(connection):
        return None
    # ACCESS SHARE on the journal only.
    row = connection.execute(
        "SELECT method, options FROM evolve.partition_conversion WHERE table_schema = %s AND table_name = %s "
        "AND state IN ('swapped', 'finished') ORDER BY conversion_id DESC LIMIT 1",
        (table.schema, table.name),
    ).fetchone()
    return Scheme(str(row[0]), cast("dict[str, object]", row[1])) if row else None


def tables_with_scheme(connection: Connection) -> tuple[QualifiedName, ...]:
    """Tables that a conversion partitioned."""
    if not _installed(connection):
        return ()
    # ACCESS SHARE on the journal only.
    rows = connection.execute(
        "SELECT DISTINCT table_name, table_schema FROM evolve.partition_conversion "
        "WHERE state IN ('swapped', 'finished') ORDER BY 2, 1"
    ).fetchall()
    return tuple(QualifiedName(str(name), str(schema)) for name, schema in rows)


def take_track(connection: Connection, record: Record, track: Track) -> None:
    """From here on the conversion follows `track`."""
    # ROW EXCLUSIVE on the journal only.
    connection.execute(
        "UPDATE evolve.partition_conversion SET track = %s WHERE conversion_id = %s", (track, record.id)
    )


def begin_step(connection: Connection, record: Record, track: Track, number: int) -> None:
    # ROW EXCLUSIVE on the journal only.
    connection.execute(
        "UPDATE evolve.partition_step SET started_at = coalesce(started_at, clock_timestamp()) "
        "WHERE conversion_id = %s AND track = %s AND number = %s",
        (record.id, track, number),
    )


def claim_step(connection: Connection, record: Record, track: Track, number: int) -> object:
    """Within the transaction that works on the step: lock its row and return its cursor.

    The row lock puts a transaction of ours that a killed client left running before this one.
    """
    # ROW SHARE on the journal only.
    row = connection.execute(
        "SELECT cursor FROM evolve.partition_step WHERE conversion_id = %s AND track = %s AND number = %s FOR UPDATE",
        (record.id, track, number),
    ).fetchone()
    return row[0] if row else None


def move_cursor(
    connection: Connection, record: Record, track: Track, number: int, cursor: object, rows: int
) -> None:
    """Within the transaction of a batch."""
    # ROW EXCLUSIVE on the journal only.
    connection.execute(
        "UPDATE evolve.partition_step SET cursor = %s, rows = rows + %s "
        "WHERE conversion_id = %s AND track = %s AND number = %s",
        (json.dumps(cursor), rows, record.id, track, number),
    )


@dataclass(frozen=True, slots=True)
class Range:
    """Keys that one worker copies.

    Args:
        number: within its step.
        after: the last key that is copied; None where the range is open below.
        upto: its last key.
    """

    number: int
    after: list[str] | None
    upto: list[str]


def open_ranges(connection: Connection, record: Record, track: Track, number: int) -> list[Range]:
    """Those that are not done, locked: a transaction of ours that a killed client left running comes first."""
    # ROW SHARE on the journal only.
    rows = connection.execute(
        "SELECT range_no, cursor, upto FROM evolve.partition_range WHERE conversion_id = %s AND track = %s "
        "AND number = %s AND cursor IS DISTINCT FROM upto ORDER BY range_no FOR UPDATE",
        (record.id, track, number),
    ).fetchall()
    return [_range(row) for row in rows]


def cut_anew(
    connection: Connection,
    record: Record,
    track: Track,
    number: int,
    gone: Sequence[Range],
    ends: Sequence[tuple[list[str] | None, list[str]]],
) -> None:
    """Put ranges in the place of others, within the transaction that locked those.

    Args:
        ends: what each of the new ones comes after, and its last key.
    """
    key = (record.id, track, number)
    # ROW EXCLUSIVE on the journal only.
    connection.execute(
        "DELETE FROM evolve.partition_range WHERE conversion_id = %s AND track = %s AND number = %s "
        "AND range_no = ANY (%s)",
        (*key, [each.number for each in gone]),
    )
    for after, upto in ends:
        # ROW EXCLUSIVE on the journal only.
        connection.execute(
            "INSERT INTO evolve.partition_range (conversion_id, track, number, range_no, cursor, upto) "
            "SELECT %s, %s, %s, coalesce(max(range_no) + 1, 0), %s, %s FROM evolve.partition_range "
            "WHERE conversion_id = %s AND track = %s AND number = %s",
            (*key, None if after is None else json.dumps(after), json.dumps(upto), *key),
        )


def claim_range(connection: Connection, record: Record, track: Track, number: int, of: int) -> Range | None:
    """Within the transaction of a batch: lock the range and tell where it is; None where it is done."""
    # ROW SHARE on the journal only.
    row = connection.execute(
        "SELECT range_no, cursor, upto FROM evolve.partition_range WHERE conversion_id = %s AND track = %s "
        "AND number = %s AND range_no = %s FOR UPDATE",
        (record.id, track, number, of),
    ).fetchone()
    found = _range(row) if row is not None else None
    return None if found is None or found.after == found.upto else found


def move_range(
    connection: Connection, record: Record, track: Track, number: int, of: Range, to: list[str], rows: int
) -> None:
    """The last statements of a batch: workers share the row of the step, and each holds it for its commit only."""
    # ROW EXCLUSIVE on the journal only.
    connection.execute(
        "UPDATE evolve.partition_range SET cursor = %s WHERE conversion_id = %s AND track = %s AND number = %s "
        "AND range_no = %s",
        (json.dumps(to), record.id, track, number, of.number),
    )
    # ROW EXCLUSIVE on the journal only.
    connection.execute(
        "UPDATE evolve.partition_step SET rows = rows + %s WHERE conversion_id = %s AND track = %s AND number = %s",
        (rows, record.id, track, number),
    )


def _range(row: Sequence[object]) -> Range:
    after, upto = cast("list[str] | None", row[1]), cast("list[str]", row[2])
    return Range(cast("int", row[0]), after, upto)


def end_step(
    connection: Connection, record: Record, track: Track, number: int, state: State | None = None
) -> None:
    """Within the transaction that finishes the step."""
    # ROW EXCLUSIVE on the journal only.
    connection.execute(
        "UPDATE evolve.partition_step SET done_at = clock_timestamp() "
        "WHERE conversion_id = %s AND track = %s AND number = %s",
        (record.id, track, number),
    )
    if state is not None:
        # ROW EXCLUSIVE on the journal only.
        connection.execute(
            "UPDATE evolve.partition_conversion SET state = %(state)s, "
            "ended_at = CASE WHEN %(state)s IN ('finished', 'abandoned') THEN clock_timestamp() END "
            "WHERE conversion_id = %(id)s",
            {"state": state, "id": record.id},
        )


@contextmanager
def conversion_lock(
    url: str,
    table: QualifiedName,
    *,
    wait: float = 5.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Connection]:
    """One runner for each table, by a session-level advisory lock on a connection of its own, which it yields.

    Args:
        wait: seconds to wait for a runner that was killed to be noticed.

    Raises:
        ConversionBusy: another one is at work.
    """
    with connect(url, application_name="evolve partition", autocommit=True) as connection:
        refuse_read_only(connection)
        refuse_pooled(connection, url)
        without_timeouts(connection)
        _take(connection, table, _RUNNER_LOCK, wait, sleep, clock)
        yield connection  # closing the connection, or dying, lets the lock go


def without_timeouts(connection: Connection) -> None:
    """Whatever role or database has set for the application: a step may take hours, and its runner's lock as long."""
    # No lock. transaction_timeout came with 17.
    connection.execute(
        "SELECT set_config(name, '0', false) FROM pg_settings "
        "WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_session_timeout')"
    )


def worker_lock(
    connection: Connection,
    table: QualifiedName,
    *,
    wait: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """The same on the connection that does the work: a statement that a killed runner left running ends first.

    Raises:
        ConversionBusy: it goes on.
    """
    _take(connection, table, _WORKER_LOCK, wait, sleep, clock)


def _take(
    connection: Connection,
    table: QualifiedName,
    lock: int,
    wait: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    started = clock()
    # No table lock; an advisory lock that only other runners ask for.
    while connection.execute(
        "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (lock, table.full)
    ).fetchone() != (True,):
        if clock() - started >= wait:
            holder = _holder(connection, table, lock)
            raise ConversionBusy(table, holder or "a session that has just ended")
        sleep(0.1)


def at_work(connection: Connection, table: QualifiedName) -> str | None:
    """The session that converts `table`, or moves partitions of it, right now."""
    return _holder(connection, table, _RUNNER_LOCK)


def steps_done(connection: Connection, record: Record) -> int:
    """Rows that the steps of its track have got through, just now."""
    # ACCESS SHARE on the journal only.
    row = connection.execute(
        "SELECT coalesce(sum(rows), 0)::bigint FROM evolve.partition_step WHERE conversion_id = %s AND track = %s",
        (record.id, record.track),
    ).fetchone()
    return cast("int", row[0]) if row else 0


def _holder(connection: Connection, table: QualifiedName, lock: int) -> str | None:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        """
        SELECT format('pid %%s (%%s%%s) since %%s', a.pid, a.usename,
                      coalesce(' from ' || host(a.client_addr), ''), date_trunc('second', a.backend_start))
          FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = %s
           AND l.objid::bigint = hashtext(%s)::bigint & 4294967295
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """,
        (lock, table.full),
    ).fetchone()
    return str(row[0]) if row else None


def _installed(connection: Connection) -> bool:
    # ACCESS SHARE on catalogs only.
    return connection.execute("SELECT to_regclass('evolve.partition_step') IS NOT NULL").fetchone() == (True,)


_SCHEMA = files("evolve.postgres").joinpath("schema", "partition.sql").read_bytes()
