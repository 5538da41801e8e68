"""What Alembic's version table says: which revisions a database has. And which database it is."""

from __future__ import annotations

from collections.abc import Collection

import psycopg
from psycopg import sql

from evolve.errors import Misuse
from evolve.postgres.connect import Connection


class CannotReadVersions(Misuse):
    def __init__(self, table: str, error: psycopg.Error) -> None:
        reason = error.diag.message_primary or str(error)
        super().__init__(
            f"which revisions the database has cannot be read from {table}: {reason}",
            fix=f"GRANT SELECT ON {table} TO the role that connects, and USAGE on its schema"
            if isinstance(error, psycopg.errors.InsufficientPrivilege)
            else "see whether this is the table of the project's Alembic, and whether `alembic current` can read it",
        )


class HiddenVersions(Misuse):
    def __init__(self, schema: str, table: str, role: str) -> None:
        super().__init__(
            f'role "{role}" may not look into schema {schema}, which has a table {table}',
            why="without it the database looks as if no revision was ever applied, and all would be run again",
            fix=f"GRANT USAGE ON SCHEMA {schema} TO the role that connects",
        )


def applied_heads(
    connection: Connection, table: str = "alembic_version", schema: str | None = None
) -> frozenset[str]:
    """The revisions in Alembic's version table; none where there is no such table yet.

    Raises:
        CannotReadVersions: the role may not, or it is another kind of table.
        HiddenVersions: it is there, and the role may not look into its schema.
    """
    name = sql.Identifier(schema, table) if schema else sql.Identifier(table)
    try:
        # ACCESS SHARE on catalogs only.
        row = connection.execute("SELECT to_regclass(%s)", (name.as_string(connection),)).fetchone()
        if row is None or row[0] is None:
            _refuse_hidden(connection, table, schema or "public")
            return frozenset()
        # ACCESS SHARE on a table of a few rows.
        rows = connection.execute(sql.SQL("SELECT version_num FROM {}").format(name)).fetchall()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedColumn) as error:
        raise CannotReadVersions(name.as_string(connection), error) from error
    return frozenset(str(version) for (version,) in rows)


def _refuse_hidden(connection: Connection, table: str, schema: str) -> None:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT quote_ident(n.nspname), current_user FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND NOT has_schema_privilege(n.oid, 'USAGE')",
        (schema, table),
    ).fetchone()
    if row is not None:
        raise HiddenVersions(str(row[0]), table, str(row[1]))


def has_versions(connection: Connection, table: str, schema: str | None) -> bool:
    """Whether Alembic's version table is where it would be looked for."""
    name = sql.Identifier(schema, table) if schema else sql.Identifier(table)
    # ACCESS SHARE on catalogs only.
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name.as_string(connection),)).fetchone()
    return row == (True,)


def stamp(connection: Connection, table: str, schema: str | None, revisions: Collection[str]) -> str:
    """Which transactions have written the rows of `revisions`; empty where the table has none of them.

    Alembic writes them anew whenever it passes there: the same stamp means that nobody has.
    """
    if not revisions or not has_versions(connection, table, schema):
        return ""
    name = sql.Identifier(schema, table) if schema else sql.Identifier(table)
    # ACCESS SHARE on a table of a few rows.
    query = sql.SQL(
        "SELECT string_agg(version_num || ' ' || xmin::text, ', ' ORDER BY version_num) FROM {}"
        " WHERE version_num = ANY (%s)"
    ).format(name)
    row = connection.execute(query, (list(revisions),)).fetchone()
    return str(row[0]) if row is not None and row[0] is not None else ""


def server_identity(connection: Connection) -> tuple[str, str]:
    """(database, moment its server started): equal for two connections just where they reach the same database."""
    row = connection.execute(
        "SELECT current_database(), extract(epoch FROM pg_postmaster_start_time())::text"
    ).fetchone()
    if row is None:
        raise AssertionError("a SELECT of constants gives a row")
    return str(row[0]), str(row[1])
