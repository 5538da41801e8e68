"""Partitions that somebody else made, as they are stored, who else maintains them, and the mark that evolve does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import psycopg
from psycopg import errors, sql

from evolve.errors import Refused
from evolve.partition.adopt import Leaf
from evolve.partition.shell import MARKER
from evolve.postgres.connect import Connection
from evolve.postgres.failure import message
from evolve.sql.names import QualifiedName, literal

_TITLES = (
    *("owner", "storage parameters", "tablespace", "replica identity", "persistence", "access method"),
    *("own indexes", "own triggers", "own CHECKs", "own foreign keys"),
)
_LOCK_TIMEOUT = "500ms"


class CannotMark(Refused):
    def __init__(self, table: QualifiedName, error: psycopg.Error) -> None:
        super().__init__(
            f'the partitions of "{table.plain}" cannot be marked: {message(error)}',
            why="all are marked in one transaction, which was rolled back; the settings were not written",
            fix="run it as the owner of the partitions, in a moment when nobody changes them",
        )


def read_leaves(connection: Connection, table: QualifiedName) -> tuple[Leaf, ...]:
    """In the order of their names."""
    with connection.transaction():
        # No lock: every name in the definitions comes out qualified.
        connection.execute("SELECT set_config('search_path', '', true)")
        # ACCESS SHARE on catalogs only.
        rows = connection.execute(
            """
            SELECT c.relname, c.relkind::text, obj_description(c.oid, 'pg_class'), ARRAY[
                   pg_get_userbyid(c.relowner)::text,
                   coalesce((SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) AS o), ''),
                   coalesce((SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace), ''),
                   CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing'
                        ELSE 'an index' END,
                   CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'logged' END,
                   coalesce((SELECT amname FROM pg_am WHERE oid = c.relam), ''),
                   coalesce((SELECT string_agg(d.unique || substr(d.def, strpos(d.def, ' USING ') + 7), '; '
                                               ORDER BY d.unique || substr(d.def, strpos(d.def, ' USING ') + 7))
                               FROM (SELECT CASE WHEN i.indisunique THEN 'unique ' ELSE '' END AS unique,
                                            pg_get_indexdef(i.indexrelid) AS def
                                       FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
                                      WHERE i.indrelid = c.oid AND NOT x.relispartition) AS d), ''),
                   coalesce((SELECT string_agg(t.tgname, ', ' ORDER BY t.tgname) FROM pg_trigger AS t
                              WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgparentid = 0), ''),
                   coalesce((SELECT string_agg(k.conname, ', ' ORDER BY k.conname) FROM pg_constraint AS k
                              WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.coninhcount = 0), ''),
                   coalesce((SELECT string_agg(k.conname, ', ' ORDER BY k.conname) FROM pg_constraint AS k
                              WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0), '')]
              FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
             WHERE i.inhparent = %s::regclass ORDER BY c.relname
            """,
            (table.full,),
        ).fetchall()
    return tuple(
        Leaf(
            str(name),
            str(kind),
            cast("str | None", comment),
            dict(zip(_TITLES, cast("list[str]", traits), strict=True)),
        )
        for name, kind, comment, traits in rows
    )


def read_partman(
    connection: Connection, table: QualifiedName
) -> tuple[str, Mapping[str, object] | None] | None:
    """The table of pg_partman's settings, as SQL, and the row of `table` in it; None where it does not maintain it.

    The row is None where the role may not read it.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace "
        "WHERE e.extname = 'pg_partman'"
    ).fetchone()
    if row is None:
        return None
    config = sql.Identifier(str(row[0]), "part_config")
    name = config.as_string(connection)
    try:
        # ACCESS SHARE on pg_partman's own table.
        found = connection.execute(
            sql.SQL("SELECT to_jsonb(p) FROM {} AS p WHERE parent_table = %s").format(config),
            (f"{table.schema}.{table.name}",),
        ).fetchone()
    except errors.InsufficientPrivilege:
        return name, None
    return None if found is None else (name, cast("Mapping[str, object]", found[0]))


def read_zone(connection: Connection) -> str:
    """Whose midnights sessions of this role see."""
    # No lock. Not of this session: a client library may have said another one.
    row = connection.execute(
        "SELECT coalesce((SELECT substr(s, 10) FROM pg_db_role_setting AS d, unnest(d.setconfig) AS s "
        "WHERE s ILIKE 'timezone=%%' AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = "
        "current_database())) AND d.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user)) "
        "ORDER BY d.setrole DESC, d.setdatabase DESC LIMIT 1), "
        "(SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'))"
    ).fetchone()
    return str(row[0]) if row is not None else "UTC"


def mark(connection: Connection, table: QualifiedName, leaves: Sequence[Leaf]) -> None:
    """Put evolve's mark before the comment of each of `leaves`, in one transaction.

    Raises:
        CannotMark
    """
    try:
        with connection.transaction():
            # No lock.
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            for leaf in leaves:
                name = QualifiedName(leaf.name, table.schema)
                comment = f"{MARKER}: partition of {table.plain}, adopted"
                comment += f"; {leaf.comment}" if leaf.comment else ""
                kind = "FOREIGN TABLE" if leaf.kind == "f" else "TABLE"
                # SHARE UPDATE EXCLUSIVE on the partition: blocks neither reads nor writes.
                connection.execute(f"COMMENT ON {kind} {name.full} IS {literal(comment)}".encode())
    except psycopg.Error as error:
        raise CannotMark(table, error) from error
