"""The statements that pg_stat_statements has counted in this database, with what they took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

import psycopg
from psycopg import sql

from evolve.errors import Refused
from evolve.plan.gate_sql import MARKER
from evolve.postgres.composing import identifier
from evolve.postgres.connect import OWN, Connection
from evolve.postgres.failure import message

_HIDDEN = "<insufficient privilege>"


class NoStatements(Refused):
    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"no statement has been counted here: {reason}", fix=fix)


@dataclass(frozen=True, slots=True)
class Counted:
    """One normalized statement, whoever ran it; `rows` are those that it returned or changed."""

    text: str
    calls: int
    seconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class Statements:
    """
    Args:
        hidden: of how many the text may not be read.
        evicted: how often the server had no room for all, and dropped some.
    """

    counted: tuple[Counted, ...]
    since: datetime | None
    hidden: int
    evicted: int


def read_statements(connection: Connection) -> Statements:
    """Those that work on rows or may do so, ours left out, the longest running first. Takes no lock.

    Raises:
        NoStatements: the extension is not in this database, or not loaded.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'pg_stat_statements'"
    ).fetchone()
    if row is None:
        raise NoStatements(
            "pg_stat_statements is not in this database",
            "preload it and CREATE EXTENSION pg_stat_statements",
        )
    schema = str(row[0])
    try:
        # No lock: reads the server's memory.
        rows = connection.execute(
            sql.SQL(
                "SELECT coalesce(query, %(hidden)s), sum(calls)::bigint, sum(total_exec_time)::float8 / 1000,"
                " sum(rows)::bigint, count(*) FROM {}"
                " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
                " GROUP BY 1 ORDER BY 3 DESC, 1"
            ).format(identifier(schema, "pg_stat_statements")),
            {"hidden": _HIDDEN},
        ).fetchall()
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise NoStatements(
            message(error), "add it to shared_preload_libraries and restart the server"
        ) from error
    since, evicted = _since(connection, schema)
    return Statements(
        tuple(
            Counted(str(text), cast("int", calls), cast("float", seconds), cast("int", count))
            for text, calls, seconds, count, _ in rows
            if text != _HIDDEN and OWN not in str(text) and MARKER not in str(text)
        ),
        since,
        sum(cast("int", entries) for text, *_, entries in rows if text == _HIDDEN),
        evicted,
    )


def _since(connection: Connection, schema: str) -> tuple[datetime | None, int]:
    """When counting began, and how often something was dropped; not told by an extension of before 1.9."""
    # ACCESS SHARE on catalogs only.
    there = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL",
        (f"{identifier(schema, 'pg_stat_statements_info').as_string()}",),
    ).fetchone()
    if there != (True,):
        return None, 0
    # No lock: reads the server's memory.
    row = connection.execute(
        sql.SQL("SELECT stats_reset, dealloc FROM {}").format(identifier(schema, "pg_stat_statements_info")),
        (),
    ).fetchone()
    return cast("tuple[datetime | None, int]", row) if row is not None else (None, 0)
