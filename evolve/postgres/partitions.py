"""Partitioned tables as they are: their partitions and bounds, what a new one needs, and how it is made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import psycopg
from psycopg import errors, sql

from evolve.errors import Refused
from evolve.partition.maintain import Partitioned, Template
from evolve.partition.shell import MARKER
from evolve.partition.values import read_bound
from evolve.postgres.connect import Connection
from evolve.postgres.failure import message
from evolve.sql.bounds import ListBound, Partition, Value, sorted_ranges
from evolve.sql.names import QualifiedName
from evolve.sql.statements import Statement


class NotPartitioned(Refused):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'"{table.plain}" is not partitioned',
            fix=f"evolve partition convert {table.shell} --method range …",
        )


class CannotCreate(Refused):
    def __init__(self, partition: str, error: psycopg.Error) -> None:
        detail = error.diag.message_detail
        super().__init__(
            f'the partition "{partition}" cannot be made: {message(error)}{f" ({detail})" if detail else ""}',
            why="it and those after it are missing; those before it are there",
            fix="mend the cause, then run it again: what exists is left alone",
        )


class NameTaken(Refused):
    def __init__(self, partition: str) -> None:
        super().__init__(
            f'the partition cannot be called "{partition}": another table has that name',
            why="it was not made by evolve, or holds rows, so it is left alone",
            fix=f"rename it: ALTER TABLE {partition} RENAME TO …",
        )


class RowsInDefault(Refused):
    def __init__(self, table: QualifiedName, default: str, partitions: Sequence[str]) -> None:
        super().__init__(
            f'"{default}" holds rows that belong into {", ".join(partitions)}, which cannot be attached beside them',
            why="the default partition of a table takes what no other does; the others that were missing are made",
            fix=f"move the rows beside the traffic: evolve partition drain {table.shell}",
        )


class AttachBlocked(Exception):
    """The lock was not to be had in time; nothing was kept: try again."""


def read_partitioned(connection: Connection, table: QualifiedName) -> Partitioned:
    """
    Raises:
        NotPartitioned: it is an ordinary table, or none.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        """
        SELECT p.partstrat,
               ARRAY(SELECT coalesce(a.attname::text, '')
                       FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (num, place)
                       LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.num AND k.num > 0
                      ORDER BY k.place),
               (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute AS a
                 WHERE a.attrelid = c.oid AND a.attnum = p.partattrs[0])
          FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_partitioned_table AS p ON p.partrelid = c.oid
         WHERE n.nspname = %s AND c.relname = %s
        """,
        (table.schema, table.name),
    ).fetchone()
    if row is None:
        raise NotPartitioned(table)
    key_type = str(row[2] or "")
    with connection.transaction():
        # No lock: bounds come out in the one form that is read back.
        connection.execute("SELECT set_config('DateStyle', 'ISO', true), set_config('TimeZone', 'UTC', true)")
        # ACCESS SHARE on catalogs only.
        rows = connection.execute(
            """
            SELECT c.relname, pg_get_expr(c.relpartbound, 0),
                   (SELECT coalesce(sum(greatest(leaf.reltuples, 0)), 0)::bigint
                      FROM pg_partition_tree(c.oid) AS t JOIN pg_class AS leaf ON leaf.oid = t.relid WHERE t.isleaf)
              FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
              JOIN pg_class AS p ON p.oid = i.inhparent JOIN pg_namespace AS n ON n.oid = p.relnamespace
             WHERE n.nspname = %s AND p.relname = %s ORDER BY c.relname
            """,
            (table.schema, table.name),
        ).fetchall()
    return Partitioned(
        table,
        {"r": "range", "l": "list", "h": "hash"}[str(row[0])],
        tuple(cast("list[str]", row[1])),
        key_type,
        tuple(Partition(str(name), read_bound(str(bound), key_type)) for name, bound, _ in rows),
        {str(name): cast("int", count) for name, _, count in rows},
    )


def read_template(connection: Connection, table: QualifiedName) -> Template:
    """What the newest table of rows that evolve made has beyond its parent; of the parent where there is none."""
    with connection.transaction():
        # No lock: every name in the definitions comes out qualified.
        connection.execute("SELECT set_config('search_path', '', true)")
        # ACCESS SHARE on catalogs only.
        row = connection.execute(
            """
            WITH RECURSIVE parent AS (
                SELECT c.* FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE n.nspname = %(schema)s AND c.relname = %(name)s),
            -- Not pg_partition_tree(): it locks every partition, and the server's room for locks is small.
            tree AS (
                SELECT oid FROM parent
                 UNION ALL SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid),
            sibling AS (
                SELECT c.* FROM tree AS t JOIN pg_class AS c ON c.oid = t.oid
                 WHERE c.relkind = 'r'
                 ORDER BY starts_with(coalesce(obj_description(c.oid, 'pg_class'), ''), %(marker)s) DESC, c.oid DESC
                 LIMIT 1)
            SELECT quote_ident(pg_get_userbyid(parent.relowner)), coalesce(sibling.reloptions, '{}'),
                   (SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = coalesce(sibling.reltablespace, 0)),
                   coalesce(sibling.relreplident, 'd')::text,
                   (SELECT coalesce(jsonb_agg(jsonb_build_array(
                        CASE WHEN starts_with(x.relname, sibling.relname || '_')
                             THEN substr(x.relname, length(sibling.relname) + 2) ELSE x.relname END,
                        substr(pg_get_indexdef(x.oid), length('CREATE UNIQUE INDEX ' || quote_ident(x.relname) || ' ON '
                            || sibling.oid::regclass::text || ' ') + 1)) ORDER BY x.relname), '[]')
                      FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
                     WHERE i.indrelid = sibling.oid AND i.indisunique AND NOT x.relispartition)
              FROM parent LEFT JOIN sibling ON true
            """,
            {"schema": table.schema, "name": table.name, "marker": MARKER},
        ).fetchone()
    if row is None:
        raise NotPartitioned(table)
    owner, options, tablespace, identity, unique = row
    return Template(
        str(owner),
        tuple(cast("list[str]", options)),
        None if tablespace is None else str(tablespace),
        str(identity),
        tuple((str(name), str(definition)) for name, definition in cast("list[list[str]]", unique)),
    )


def bound_condition(connection: Connection, partition: QualifiedName) -> str:
    """What the server asks of each row of `partition`, as SQL with qualified names; "true" where it asks nothing."""
    with connection.transaction():
        # No lock: every name comes out qualified, every value in the one form that means the same in every session.
        connection.execute(
            "SELECT set_config('search_path', '', true), set_config('DateStyle', 'ISO', true), "
            "set_config('TimeZone', 'UTC', true)"
        )
        # ACCESS SHARE on catalogs only.
        row = connection.execute(
            "SELECT pg_get_partition_constraintdef(%s::regclass)", (partition.full,)
        ).fetchone()
    return str(row[0]) if row is not None and row[0] is not None else "true"


def half_detached(connection: Connection, table: QualifiedName) -> tuple[str, ...]:
    """Partitions of `table` whose DETACH CONCURRENTLY was interrupted."""
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = %s::regclass AND i.inhdetachpending ORDER BY 1",
        (table.full,),
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def holds_rows(connection: Connection, table: str) -> bool:
    """
    Args:
        table: as SQL.
    """
    # ACCESS SHARE on the table for the time of one row.
    found = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.SQL(table))  # pyright: ignore[reportArgumentType]
    return connection.execute(found).fetchone() == (True,)


def holds_rows_where(connection: Connection, table: QualifiedName, condition: str) -> bool:
    """
    Args:
        condition: as SQL.
    """
    # ACCESS SHARE on the table: blocks nothing.
    row = connection.execute(
        sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(
            sql.Identifier(table.schema, table.name),
            sql.SQL(condition),  # pyright: ignore[reportArgumentType]
        )
    ).fetchone()
    return row == (True,)


def rows_missing(
    connection: Connection, table: QualifiedName, other: QualifiedName, key: Sequence[str]
) -> int:
    """How many rows of `table` `other` has not, by `key`, which is unique in `other`."""
    # ACCESS SHARE on both: blocks nothing.
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} AS a WHERE NOT EXISTS (SELECT FROM {} AS b WHERE {})").format(
            sql.Identifier(table.schema, table.name),
            sql.Identifier(other.schema, other.name),
            sql.SQL(" AND ").join(sql.SQL("a.{0} = b.{0}").format(sql.Identifier(column)) for column in key),
        )
    ).fetchone()
    return cast("int", row[0]) if row else 0


def premake_lock(connection: Connection, table: QualifiedName) -> None:
    """Wait until no other session makes partitions of `table`; held until the connection is closed."""
    # No table lock; an advisory lock that only other runs of premake ask for. "evpm" in ASCII is its class.
    connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (0x6576706D, table.full))


def create_partition(
    connection: Connection,
    table: QualifiedName,
    name: str,
    make: Sequence[Statement],
    attach: Sequence[Statement],
    lock_timeout: int = 500,
) -> None:
    """Two short transactions; one that a killed run left half done is made anew.

    Raises:
        AttachBlocked: the lock on the parent was not to be had in time; the new table is removed by the next call.
        NameTaken: a table of this name is there that is not ours.
        CannotCreate: the server refused.
    """
    with _translated(name):
        with _short(connection, lock_timeout):
            _remove_left_over(connection, table, name)
            for statement in make:
                connection.execute(_sql(statement))
        with _short(connection, lock_timeout):
            for statement in attach:
                connection.execute(_sql(statement))


def highest_key(connection: Connection, partitioned: Partitioned) -> Value | None:
    """The greatest integer key, from the highest partition that holds rows; None for keys of another kind, where the
    clock and not the rows says what comes next.
    """
    if partitioned.key_type not in ("smallint", "integer", "bigint"):
        return None
    for partition in _highest_first(partitioned.partitions):
        # ACCESS SHARE on the partition: blocks nothing.
        row = connection.execute(
            sql.SQL("SELECT max({}) FROM {}").format(
                sql.Identifier(partitioned.key[0]), sql.Identifier(partitioned.table.schema, partition.name)
            )
        ).fetchone()
        if row is not None and isinstance(row[0], int):
            return row[0]
    return None


def _highest_first(partitions: Sequence[Partition]) -> list[Partition]:
    ranges = [partition for partition, _ in reversed(sorted_ranges(partitions))]
    lists = [
        (max(integers), partition)
        for partition in partitions
        if isinstance(partition.bound, ListBound)
        and (integers := [value for value in partition.bound.values if isinstance(value, int)])
    ]
    return ranges + [partition for _, partition in sorted(lists, key=lambda item: item[0], reverse=True)]


def existing_names(connection: Connection, schema: str, names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that a relation of the schema has already."""
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = ANY (%s) ORDER BY 1",
        (schema, list(names)),
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def free_bytes(connection: Connection) -> int | None:
    """Free space where the server keeps its data; None where that cannot be seen from here."""
    # No lock. The server must be this very machine, and the role may see where its data is.
    row = connection.execute(
        "SELECT current_setting('data_directory', true), pg_postmaster_start_time()::text, "
        "inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1' "
        "WHERE pg_has_role('pg_read_all_settings', 'MEMBER')"
    ).fetchone()
    if row is None or row[0] is None or row[2] is not True:
        return None
    folder = Path(str(row[0]))
    try:
        # A port forwarded from elsewhere looks local too; the server's own lock file tells.
        if not (folder / "postmaster.pid").is_file():
            return None
        return shutil.disk_usage(folder).free
    except OSError:
        return None


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
        raise AttachBlocked(message(error)) from error
    except errors.DuplicateTable as error:
        raise NameTaken(name) from error
    except psycopg.Error as error:
        raise CannotCreate(name, error) from error


def _remove_left_over(connection: Connection, table: QualifiedName, name: str) -> None:
    """A table of this name that carries our mark for this parent, is attached to nothing and empty."""
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
        "AND obj_description(c.oid, 'pg_class') = %s",
        (table.schema, name, f"{MARKER}: partition of {table.plain}"),
    ).fetchone()
    if row is None:
        return
    leaf = sql.Identifier(table.schema, name)
    # ACCESS EXCLUSIVE on a table that a killed run left behind.
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(leaf))
    if connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(leaf)).fetchone() == (True,):
        raise NameTaken(name)
    connection.execute(sql.SQL("DROP TABLE {}").format(leaf))


def _sql(statement: Statement) -> sql.SQL:
    """Every name in it was quoted when it was written, every definition comes from the server."""
    return sql.SQL(statement.sql)  # pyright: ignore[reportArgumentType]
