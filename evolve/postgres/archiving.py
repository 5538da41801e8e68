"""Partitions read as a whole for an archive, and made again from one: what they hold, its checksum, its rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import LiteralString, cast

import psycopg
from psycopg import errors, sql
from psycopg.abc import Buffer

from evolve.errors import Misuse, Refused
from evolve.partition.archive import ArchivedColumn, parquet_kind
from evolve.partition.retention import read_detached
from evolve.postgres.connect import Connection
from evolve.postgres.conversions import JournalDenied
from evolve.postgres.failure import message
from evolve.sql.names import QualifiedName

_SCHEMA = files("evolve.postgres").joinpath("schema", "archive.sql").read_bytes()

# How the server writes values as text: each comes out in the one form that every server reads as the same value.
_EXACT_TEXT = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "search_path": "",
    "row_security": "off",  # rows that a policy hides would be left out: it is an error then
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",  # while the file is read back
}


class NotOurs(Misuse):
    def __init__(self, partition: QualifiedName, table: QualifiedName) -> None:
        super().__init__(
            f'"{partition.plain}" is neither a partition of "{table.plain}" nor one that evolve detached from it',
            why="what does not carry the mark of evolve is left alone",
            fix=f"evolve partition status {table.plain} names its partitions",
        )


class CannotArchive(Refused):
    def __init__(self, partition: QualifiedName, reason: str) -> None:
        super().__init__(
            f'"{partition.plain}" cannot be archived: {reason}',
            why="nothing counts as archived, and the rows are where they were",
            fix="mend the cause, then run it again",
        )


class CannotRestore(Refused):
    def __init__(self, partition: QualifiedName, reason: str) -> None:
        super().__init__(
            f'"{partition.plain}" cannot be restored: {reason}',
            why="nothing of it was kept: it is restored in one transaction",
            fix="mend the cause, then run it again; the archive is as it was",
        )


@dataclass(frozen=True, slots=True)
class Source:
    """A partition as it is now.

    Args:
        bound: None where it is detached.
        columns: `kept_as` by their types alone; values may ask for text.
    """

    partition: QualifiedName
    oid: int
    bound: str | None
    columns: tuple[ArchivedColumn, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """
    Args:
        checksum: equal for equal rows, in whatever order they lie.
        text: columns with values that no Parquet type holds exactly, such as infinity.
    """

    rows: int
    checksum: str
    text: frozenset[str]


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger says of one archive."""

    partition: QualifiedName
    place: dict[str, object]
    manifest: dict[str, object]


@contextmanager
def translated(cause: Callable[[QualifiedName, str], Refused], partition: QualifiedName) -> Iterator[None]:
    """Raise `cause` for whatever the server refuses."""
    try:
        yield
    except psycopg.Error as error:
        raise cause(partition, message(error)) from error


@contextmanager
def one_snapshot(connection: Connection) -> Iterator[None]:
    """A transaction in which every statement sees the same rows, and values come as exact text."""
    with connection.transaction():
        # No lock.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        exact_text(connection)
        yield


def exact_text(connection: Connection) -> None:
    """Until the end of the transaction. May be called in one under way."""
    for name, value in _EXACT_TEXT.items():
        # No lock.
        connection.execute("SELECT set_config(%s, %s, true)", (name, value))


def read_source(connection: Connection, table: QualifiedName, partition: QualifiedName) -> Source:
    """To be called within `one_snapshot`, so that names of types come out qualified.

    Raises:
        NotOurs: it is no partition of the table, and did not leave it through evolve.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        """
        SELECT c.oid, CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, 0) END,
               obj_description(c.oid, 'pg_class'),
               EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND inhparent = to_regclass(%s))
          FROM pg_class AS c WHERE c.oid = to_regclass(%s)
        """,
        (table.full, partition.full),
    ).fetchone()
    if row is None:
        raise NotOurs(partition, table)
    oid, bound, comment, attached = cast("tuple[int, str | None, str | None, bool]", row)
    left = None if attached else read_detached(partition.name, comment, table)
    if not attached and (left is None or partition.schema != table.schema):
        raise NotOurs(partition, table)
    if left is not None:
        bound = left.bound or None
    return Source(partition, oid, bound, read_columns(connection, partition))


def read_columns(connection: Connection, table: QualifiedName) -> tuple[ArchivedColumn, ...]:
    """In their order, without those that were dropped. Qualified where the search path is empty."""
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               (SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname)
                  FROM pg_collation AS l JOIN pg_namespace AS n ON n.oid = l.collnamespace
                 WHERE l.oid = a.attcollation AND l.oid <> y.typcollation),
               CASE a.attgenerated WHEN 's' THEN format('(%%s) STORED', pg_get_expr(d.adbin, d.adrelid))
                                   WHEN 'v' THEN format('(%%s) VIRTUAL', pg_get_expr(d.adbin, d.adrelid)) END
          FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
          LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
        """,
        (table.full,),
    ).fetchall()
    return tuple(
        ArchivedColumn(
            str(name),
            str(kind),
            bool(not_null),
            cast("str | None", collation),
            cast("str | None", generated),
            parquet_kind(str(kind)),
        )
        for name, kind, not_null, collation, generated in rows
    )


def content_of(connection: Connection, table: QualifiedName, columns: Sequence[ArchivedColumn]) -> Content:
    """Count and checksum by one scan. To be called where values come as exact text.

    Args:
        columns: those whose values are kept.
    """
    told = [column for column in columns if column.kept_as in _UNHELD or column.kept_as.startswith("decimal")]
    # ACCESS SHARE on the table: everybody goes on reading and writing.
    row = connection.execute(
        sql.SQL("SELECT count(*), coalesce(sum({}), 0)::text, ARRAY[{}]::boolean[] FROM {}").format(
            _row_hash(columns),
            sql.SQL(", ").join(_held(column) for column in told),
            sql.Identifier(table.schema, table.name),
        )
    ).fetchone()
    count, checksum, held = cast("tuple[int, str, list[bool | None]]", row)
    return Content(
        count,
        checksum,
        frozenset(column.name for column, each in zip(told, held, strict=True) if each is False),
    )


def copy_out(
    connection: Connection,
    table: QualifiedName,
    columns: Sequence[ArchivedColumn],
    *,
    header: bool,
    size: int,
) -> Generator[tuple[int, bytes], None, None]:
    """The rows as CSV, some `size` bytes of whole rows a time, with their number; their names first, if asked for."""
    statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv, HEADER {}, ENCODING 'UTF8')").format(
        _names(columns), sql.Identifier(table.schema, table.name), sql.SQL("true" if header else "false")
    )
    kept: list[Buffer] = []
    held = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        # ACCESS SHARE on the table: everybody goes on reading and writing. The server sends each row by itself.
        for row in copy:
            kept.append(row)
            held += len(row)
            if held >= size:
                yield len(kept), b"".join(kept)
                kept, held = [], 0
    if kept:
        yield len(kept), b"".join(kept)


def copy_in(
    connection: Connection,
    table: QualifiedName,
    columns: Sequence[ArchivedColumn],
    pieces: Iterable[bytes],
    *,
    header: bool,
) -> None:
    """Into a table that nobody else knows yet."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER {}, ENCODING 'UTF8')").format(
        sql.Identifier(table.schema, table.name), _names(columns), sql.SQL("true" if header else "false")
    )
    # ROW EXCLUSIVE on a table that only this transaction knows.
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)


def copy_across(
    connection: Connection, source: QualifiedName, target: QualifiedName, columns: Sequence[ArchivedColumn]
) -> None:
    """Rows of one table into another that nobody else knows yet."""
    # ACCESS SHARE on the source, ROW EXCLUSIVE on the target.
    connection.execute(
        sql.SQL("INSERT INTO {} ({names}) SELECT {names} FROM {}").format(
            sql.Identifier(target.schema, target.name),
            sql.Identifier(source.schema, source.name),
            names=_names(columns),
        )
    )


def create_alone(
    connection: Connection,
    table: QualifiedName,
    columns: Sequence[ArchivedColumn],
    comment: str,
    tablespace: str | None = None,
) -> None:
    """A plain table of these columns."""
    place = (
        sql.SQL("") if tablespace is None else sql.SQL(" TABLESPACE {}").format(sql.Identifier(tablespace))
    )
    defined = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), _text(column.definition)) for column in columns
    )
    # No lock: nobody knows this table yet. Prepared, so that no definition can bring a second statement with it.
    connection.execute(
        sql.SQL("CREATE TABLE {} ({}){}").format(sql.Identifier(table.schema, table.name), defined, place),
        prepare=True,
    )
    # SHARE UPDATE EXCLUSIVE on the new table.
    connection.execute(
        sql.SQL("COMMENT ON TABLE {} IS {}").format(
            sql.Identifier(table.schema, table.name), sql.Literal(comment)
        )
    )


def attached_in_time(connection: Connection, statements: Sequence[str], lock_timeout: int) -> bool:
    """Send `statements` in a savepoint; False, and nothing of them done, where a lock was not to be had.

    Args:
        lock_timeout: in milliseconds.
    """
    try:
        with connection.transaction():
            # No lock.
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(lock_timeout),))
            for statement in statements:
                # SHARE UPDATE EXCLUSIVE on the parent: readers and writers pass.
                connection.execute(statement.encode())
    except (errors.LockNotAvailable, errors.DeadlockDetected):
        return False
    return True


def ensure_ledger(connection: Connection) -> None:
    """
    Raises:
        JournalDenied: the role may not make it.
    """
    # ACCESS SHARE on catalogs only.
    if connection.execute("SELECT to_regclass('evolve.partition_archive') IS NOT NULL").fetchone() == (True,):
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


def note(
    connection: Connection,
    oid: int,
    partition: QualifiedName,
    place: dict[str, object],
    manifest: dict[str, object],
) -> None:
    # ROW EXCLUSIVE on the ledger only.
    connection.execute(
        "INSERT INTO evolve.partition_archive (relation, partition_schema, partition_name, place, manifest) "
        "VALUES (%s, %s, %s, %s, %s)",
        (oid, partition.schema, partition.name, json.dumps(place), json.dumps(manifest)),
    )


def noted(connection: Connection, partition: QualifiedName, oid: int | None = None) -> tuple[Record, ...]:
    """Archives of this partition, the newest first.

    Args:
        oid: only those of this very table; another may have had its name before.
    """
    # ACCESS SHARE on catalogs only.
    if connection.execute("SELECT to_regclass('evolve.partition_archive') IS NULL").fetchone() == (True,):
        return ()
    # ACCESS SHARE on the ledger.
    rows = connection.execute(
        "SELECT place, manifest FROM evolve.partition_archive WHERE partition_schema = %s AND partition_name = %s "
        "AND (%s::oid IS NULL OR relation = %s::oid) ORDER BY archive_id DESC",
        (partition.schema, partition.name, oid, oid),
    ).fetchall()
    return tuple(
        Record(partition, cast("dict[str, object]", place), cast("dict[str, object]", manifest))
        for place, manifest in rows
    )


def oid_of(connection: Connection, table: QualifiedName) -> int | None:
    # ACCESS SHARE on catalogs only.
    row = connection.execute("SELECT to_regclass(%s)::oid", (table.full,)).fetchone()
    return None if row is None else cast("int | None", row[0])


def comment_of(connection: Connection, table: QualifiedName) -> str | None:
    # ACCESS SHARE on catalogs only.
    row = connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", (table.full,)).fetchone()
    return None if row is None else cast("str | None", row[0])


def server_version(connection: Connection) -> str:
    # No lock.
    row = connection.execute("SELECT current_setting('server_version')").fetchone()
    return str(row[0]) if row else ""


# Never to be changed: archives hold what comes of it. A 64-bit number goes by its bytes, since the server's own hash
# folds one half of it over the other; text, and what has no entry, by its letters.
_HASHED: dict[str, LiteralString] = {
    "smallint": "{}",
    "integer": "{}",
    "boolean": "{}",
    "uuid": "{}",
    "bytea": "{}",
    "date": "{}",
    "bigint": "int8send({})",
    "timestamp without time zone": "timestamp_send({})",
    "timestamp with time zone": "timestamptz_send({})",
    "text": '{} COLLATE "C"',
    "character varying": '{} COLLATE "C"',
}


def _row_hash(columns: Sequence[ArchivedColumn]) -> sql.Composed:
    """A bigint for each row."""
    terms = (
        sql.SQL(_HASHED.get(re.sub(r"\(\d+\)", "", column.type), '{}::text COLLATE "C"')).format(
            sql.Identifier(column.name)
        )
        for column in columns
    )
    return sql.SQL("hash_record_extended(ROW({}), 0)").format(sql.SQL(", ").join(terms))


_UNHELD = ("date32", "timestamp", "timestamptz")


def _held(column: ArchivedColumn) -> sql.Composable:
    name = sql.Identifier(column.name)
    if column.kept_as in _UNHELD:
        # The least and the greatest year that are written with four digits.
        return sql.SQL("bool_and({0} >= '0001-01-01' AND {0} < '10000-01-01')").format(name)
    return sql.SQL("bool_and({} <> 'NaN')").format(name)


def _names(columns: Sequence[ArchivedColumn]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)


def _text(written: str) -> sql.SQL:
    """The server wrote it itself, or a manifest that it is compared with."""
    return sql.SQL(written)  # pyright: ignore[reportArgumentType]
