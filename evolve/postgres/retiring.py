"""Partitions that leave their table: detached beside the traffic, kept as tables of their own, dropped at last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import errors, sql

from evolve.errors import Refused
from evolve.partition.retention import (
    Detached,
    detached_comment,
    is_ours,
    leaving_comment,
    read_detached,
)
from evolve.partition.shell import MARKER
from evolve.postgres.connect import Connection
from evolve.postgres.failure import message
from evolve.sql.names import QualifiedName, literal

# "evrt" in ASCII is the class of the lock: another one than that of premake, which never waits for it.
_LOCK = 0x65767274


class CannotRetire(Refused):
    def __init__(self, partition: str, error: psycopg.Error) -> None:
        detail = error.diag.message_detail
        super().__init__(
            f'"{partition}" cannot be let go: {message(error)}{f" ({detail})" if detail else ""}',
            why="it stays as it is, with its rows",
            fix="mend the cause, then run it again",
        )


class RetireBlocked(Exception):
    """A lock was not to be had in time: try again; a detach goes on where it was interrupted."""


class NotOurs(Refused):
    def __init__(self, partition: str) -> None:
        super().__init__(
            f'"{partition}" is no longer what it was when it was looked at',
            why="somebody attached it, or took the mark of evolve from its comment; it was left alone",
            fix="nothing, if that was meant; else look at its comment",
        )


@dataclass(frozen=True, slots=True)
class Attached:
    """
    Args:
        pending: its DETACH CONCURRENTLY was interrupted.
        bound: as SQL.
    """

    name: str
    comment: str | None
    pending: bool
    bound: str

    @property
    def ours(self) -> bool:
        return is_ours(self.comment)


def try_retain_lock(connection: Connection, table: QualifiedName) -> bool:
    """Whether no other session retires partitions of `table`; held until the connection is closed.

    Never waits: a session that waits in a statement holds a snapshot, and a detach waits for those that are older.
    """
    # No table lock; an advisory lock that only other runs of retain ask for.
    row = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK, table.full)).fetchone()
    return row == (True,)


def server_now(connection: Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    if row is None or not isinstance(row[0], datetime):
        raise TypeError(row)
    return row[0]


def database_name(connection: Connection) -> str:
    row = connection.execute("SELECT current_database()::text").fetchone()
    return str(row[0]) if row is not None else ""


def journal_is_here(connection: Connection) -> bool:
    """Whether evolve's own schema is in this database."""
    # ACCESS SHARE on catalogs only.
    return connection.execute("SELECT to_regnamespace('evolve') IS NOT NULL").fetchone() == (True,)


def read_attached(connection: Connection, table: QualifiedName) -> dict[str, Attached]:
    """By name."""
    with connection.transaction():
        # No lock: bounds come out in one form, whatever the session says.
        connection.execute("SELECT set_config('DateStyle', 'ISO', true), set_config('TimeZone', 'UTC', true)")
        # ACCESS SHARE on catalogs only.
        rows = connection.execute(
            "SELECT c.relname::text, obj_description(c.oid, 'pg_class'), i.inhdetachpending, "
            "coalesce(pg_get_expr(c.relpartbound, 0), '') "
            "FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass ORDER BY 1",
            (table.full,),
        ).fetchall()
    return {
        str(name): Attached(str(name), None if comment is None else str(comment), pending is True, str(bound))
        for name, comment, pending, bound in rows
    }


def read_all_detached(connection: Connection, table: QualifiedName) -> tuple[Detached, ...]:
    """Tables that left `table` through evolve and are still there, in the order of their names."""
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        "SELECT c.relname::text, d.description FROM pg_description AS d JOIN pg_class AS c ON c.oid = d.objoid "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE d.classoid = 'pg_class'::regclass "
        "AND d.objsubid = 0 AND starts_with(d.description, %s) AND n.nspname = %s AND c.relkind IN ('r', 'p') "
        "AND NOT c.relispartition ORDER BY 1",
        (f"{MARKER}: ", table.schema),
    ).fetchall()
    found = (read_detached(str(name), str(comment), table) for name, comment in rows)
    return tuple(each for each in found if each is not None)


def referring_table(
    connection: Connection, table: QualifiedName, partition: str, lock_timeout: int
) -> str | None:
    """A table with rows that refer to rows of `partition`; None where there is none.

    The server asks the same at a detach, but holds SHARE on the referring table while it reads.

    Raises:
        RetireBlocked, CannotRetire.
    """
    with _translated(partition), _short(connection, lock_timeout):
        return _referring(connection, table, partition)


def _referring(connection: Connection, table: QualifiedName, partition: str) -> str | None:
    # ACCESS SHARE on catalogs only. One row for each foreign key to the parent itself.
    keys = connection.execute(
        "SELECT k.conrelid::regclass::text, "
        "ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (num, place) "
        " JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.place), "
        "ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (num, place) "
        " JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.place) "
        "FROM pg_constraint AS k WHERE k.contype = 'f' AND k.confrelid = %s::regclass AND k.conparentid = 0 "
        "AND k.conrelid <> k.confrelid ORDER BY 1",
        (table.full,),
    ).fetchall()
    for source, columns, targets in keys:
        if not isinstance(columns, list) or not isinstance(targets, list):
            raise TypeError(columns)
        pairs = sql.SQL(" AND ").join(
            sql.SQL("s.{} = t.{}").format(sql.Identifier(column), sql.Identifier(target))
            for column, target in zip(columns, targets, strict=True)
        )
        # ACCESS SHARE on both: blocks nothing.
        row = connection.execute(
            sql.SQL("SELECT EXISTS (SELECT FROM {} AS s JOIN {} AS t ON {})").format(
                sql.SQL(str(source)),  # pyright: ignore[reportArgumentType]
                sql.Identifier(table.schema, partition),
                pairs,
            )
        ).fetchone()
        if row == (True,):
            return str(source)
    return None


def announce(connection: Connection, table: QualifiedName, partition: Attached, lock_timeout: int) -> None:
    """Write into the comment that it leaves; detached without that it could be taken for a table half made."""
    _comment(
        connection,
        QualifiedName(partition.name, table.schema),
        leaving_comment(table, partition.bound, partition.comment),
        lock_timeout,
    )


def detach(connection: Connection, table: QualifiedName, partition: str, lock_timeout: int) -> None:
    """Begin the detach, and end it where nothing stands in the way.

    Interrupted, it stays pending: its rows are seen by nobody through the table any more, and `finalize` ends it.

    Raises:
        RetireBlocked, CannotRetire.
    """
    leaf = QualifiedName(partition, table.schema)
    # SHARE UPDATE EXCLUSIVE on the parent: readers and writers pass. At its end ACCESS EXCLUSIVE on the partition,
    # which no statement reaches through the parent any more, and on tables it refers to, at most for the timeout.
    _outside(
        connection,
        partition,
        f"ALTER TABLE {table.full} DETACH PARTITION {leaf.full} CONCURRENTLY",
        lock_timeout,
    )


def finalize(connection: Connection, table: QualifiedName, partition: str, lock_timeout: int) -> None:
    """End a detach that was interrupted.

    Raises:
        RetireBlocked: a transaction that is older than the detach goes on, or a lock is held.
        CannotRetire: the server refused for good.
    """
    leaf = QualifiedName(partition, table.schema)
    # SHARE UPDATE EXCLUSIVE on the parent: readers and writers pass; else as above.
    _outside(
        connection, partition, f"ALTER TABLE {table.full} DETACH PARTITION {leaf.full} FINALIZE", lock_timeout
    )


def note_detached(
    connection: Connection, table: QualifiedName, partition: str, bound: str, now: datetime, lock_timeout: int
) -> None:
    """Write when it left into its comment; from here on it is dropped once its time is up."""
    leaf = QualifiedName(partition, table.schema)
    # ACCESS SHARE on catalogs only.
    row = connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", (leaf.full,)).fetchone()
    before = str(row[0]) if row is not None and row[0] is not None else None
    _comment(connection, leaf, detached_comment(table, now, bound, before), lock_timeout)


def foreign_keys_of(connection: Connection, table: QualifiedName) -> tuple[str, ...]:
    """Names of those that `table` itself has."""
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        "SELECT conname::text FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'f' "
        "AND conparentid = 0 ORDER BY 1",
        (table.full,),
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def drop_detached(
    connection: Connection, table: QualifiedName, detached: Detached, lock_timeout: int
) -> None:
    """Drop a table that left `table`, its foreign keys first, each in a transaction of its own.

    Raises:
        NotOurs: it is attached again, or its comment says something else now.
        RetireBlocked, CannotRetire.
    """
    leaf = QualifiedName(detached.name, table.schema)
    name = sql.Identifier(table.schema, detached.name)
    with _translated(detached.name):
        for key in foreign_keys_of(connection, leaf):
            with _short(connection, lock_timeout):
                _lock_ours(connection, table, detached)
                # ACCESS EXCLUSIVE on the table it refers to as well, so one at a time and for milliseconds.
                connection.execute(
                    sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(name, sql.Identifier(key))
                )
        with _short(connection, lock_timeout):
            _lock_ours(connection, table, detached)
            # ACCESS EXCLUSIVE, on a table that nothing reads through its parent. Never CASCADE.
            connection.execute(sql.SQL("DROP TABLE {}").format(name))


def _lock_ours(connection: Connection, table: QualifiedName, detached: Detached) -> None:
    leaf = QualifiedName(detached.name, table.schema)
    # ACCESS EXCLUSIVE on the table that left, at most waited for as long as the timeout.
    connection.execute(
        sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table.schema, detached.name))
    )
    # ACCESS SHARE on catalogs only; looked at again now that nobody can change it.
    row = connection.execute(
        "SELECT relispartition, obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass(%s)",
        (leaf.full,),
    ).fetchone()
    comment = str(row[1]) if row is not None and row[1] is not None else None
    if row is None or row[0] is not False or read_detached(detached.name, comment, table) != detached:
        raise NotOurs(detached.name)


def _comment(connection: Connection, leaf: QualifiedName, comment: str, lock_timeout: int) -> None:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", (leaf.full,)
    ).fetchone()
    kind = "FOREIGN TABLE" if row == ("f",) else "TABLE"
    with _translated(leaf.name), _short(connection, lock_timeout):
        # SHARE UPDATE EXCLUSIVE on the partition: blocks neither reads nor writes.
        connection.execute(f"COMMENT ON {kind} {leaf.full} IS {literal(comment)}".encode())


def _outside(connection: Connection, partition: str, statement: str, lock_timeout: int) -> None:
    """Run what takes no transaction around it."""
    # No lock. For the session, since the statement has no transaction of its own to set it in.
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (str(lock_timeout),))
    try:
        with _translated(partition):
            connection.execute(statement.encode())
    finally:
        if not connection.closed:
            # No lock.
            connection.execute("SELECT set_config('lock_timeout', '0', false)")


@contextmanager
def _short(connection: Connection, lock_timeout: int) -> Iterator[None]:
    with connection.transaction():
        # No lock.
        connection.execute(
            "SELECT set_config('lock_timeout', %s, true), "
            "set_config('idle_in_transaction_session_timeout', '10s', true)",
            (str(lock_timeout),),
        )
        yield


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
        raise RetireBlocked(message(error)) from error
    except psycopg.Error as error:
        raise CannotRetire(name, error) from error
