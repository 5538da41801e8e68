"""What verification asks of each row of a run's table: its values compared as the columns hold them."""

from __future__ import annotations

import psycopg
from psycopg import sql

from evolve.backfill.spec import Spec
from evolve.backfill.verify import Held, misses_predicate
from evolve.postgres.backfill_target import BadExpression
from evolve.postgres.composing import table_name, type_name, written
from evolve.postgres.connect import Connection
from evolve.postgres.failure import message
from evolve.sql.names import QualifiedName


def predicate_of(connection: Connection, spec: Spec, key: tuple[str, ...]) -> str | None:
    """See `misses_predicate`.

    Args:
        connection: in autocommit mode.
        key: names of the columns that are walked.
    """
    if misses_predicate(spec, key) is None:
        return None
    return misses_predicate(spec, key, _held(connection, spec.table, spec.columns))


def check_predicate(connection: Connection, spec: Spec, key: tuple[str, ...]) -> None:
    """Let the server read what verification will ask, without running it.

    Raises:
        BadExpression: it is no question about a row, as where DEFAULT is assigned.
    """
    predicate = predicate_of(connection, spec, key)
    if predicate is None:
        return
    query = sql.SQL("EXPLAIN SELECT FROM {} WHERE {}").format(table_name(spec.table), written(predicate))
    try:
        # EXPLAIN without ANALYZE runs nothing; AccessShare for its own moment.
        connection.execute(query, {})
    except psycopg.ProgrammingError as error:
        raise BadExpression("what verification is to ask,", predicate, message(error)) from error


def _held(connection: Connection, table: QualifiedName, columns: tuple[str, ...]) -> dict[str, Held]:
    # AccessShare on catalogs only. With its length or precision: a value that is assigned is rounded to it.
    found = connection.execute(
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
        " WHERE a.attrelid = to_regclass(%s) AND a.attname = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped",
        (table.full, list(columns)),
    ).fetchall()
    return {str(name): Held(str(type_), _compares(connection, str(type_))) for name, type_ in found}


def _compares(connection: Connection, type_: str) -> bool:
    """Two values of it can be compared; not those of json, xml or point."""
    null = sql.SQL("ROW(NULL::{})").format(type_name(type_))
    try:
        # Reads no table. The type's operator is looked up before it is seen that there is no value.
        connection.execute(sql.SQL("SELECT record_eq({}, {})").format(null, null), {})
    except psycopg.errors.UndefinedFunction:
        return False
    return True
