"""Reads the facts of a whole database from its catalog and its statistics: no row of any table is looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import cast

import psycopg
from psycopg import sql

from evolve.errors import Misuse
from evolve.lint.facts import Facts, IndexFacts, Kind, RelationFacts, Writes
from evolve.postgres.connect import Connection
from evolve.sql.names import QualifiedName

LOCK_TIMEOUT = 1_000  # milliseconds
STATEMENT_TIMEOUT = 60_000

_KINDS: Mapping[str, Kind] = {"r": "table", "p": "partitioned table", "m": "materialized view"}


class NoSuchSchema(Misuse):
    def __init__(self, name: str, known: Collection[str]) -> None:
        super().__init__(
            f'there is no schema "{name}" in this database',
            fix=f"its schemas are: {', '.join(sorted(known))}",
        )


def read_facts(connection: Connection, schemas: Collection[str] = ()) -> Facts:
    """Read the facts of the relations in `schemas`, or in all of them, in one snapshot.

    Needs no privilege beyond that of connecting; works on a standby. Takes no lock that blocks a reader or a writer,
    and where a schema change holds a table it falls back on the sizes of the last VACUUM (`Facts.approximate`).

    Args:
        connection: in autocommit mode; its isolation level and timeouts are as before afterwards.

    Raises:
        NoSuchSchema: one of `schemas` is not there.
    """
    try:
        return _read(connection, schemas, approximate=False)
    except psycopg.errors.LockNotAvailable:
        return _read(connection, schemas, approximate=True)


def _read(connection: Connection, schemas: Collection[str], *, approximate: bool) -> Facts:
    with _snapshot(connection):
        known = _schemas(connection)
        for name in schemas:
            if name not in known:
                raise NoSuchSchema(name, known)
        chosen = sorted(schemas or known)
        standby, since, taken = _server(connection)
        indexes = _indexes(connection, chosen, approximate=approximate)
        references = _references(connection, chosen)
        relations = _relations(
            connection, chosen, indexes, references, standby=standby, approximate=approximate
        )
    return Facts(
        taken=taken,
        server_version=connection.info.server_version // 10_000,
        standby=standby,
        statistics_since=since,
        schemas=tuple(chosen) if schemas else None,
        approximate=approximate,
        relations=MappingProxyType(relations),
    )


@contextmanager
def _snapshot(connection: Connection) -> Iterator[None]:
    """A transaction that sees one moment, writes nothing, and neither waits nor works for long."""
    level, read_only = connection.isolation_level, connection.read_only
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        with connection.transaction():
            # Takes no lock.
            connection.execute(
                "SELECT set_config('lock_timeout', %s::text, true), set_config('statement_timeout', %s::text, true)",
                (LOCK_TIMEOUT, STATEMENT_TIMEOUT),
            )
            if connection.info.server_version >= 150_000:
                # Counters of one moment too; up to 14 that is how they are read anyway.
                connection.execute("SET LOCAL stats_fetch_consistency = snapshot")
            yield
    finally:
        connection.isolation_level, connection.read_only = level, read_only


def _schemas(connection: Connection) -> list[str]:
    # Takes no lock: reads the catalog.
    rows = connection.execute(
        """
        SELECT nspname FROM pg_namespace
         WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
        """
    ).fetchall()
    return [str(name) for (name,) in rows]


def _server(connection: Connection) -> tuple[bool, datetime | None, datetime]:
    """Whether it is a standby, when its counters began, and its time."""
    # Takes no lock. From 15 on a database that was never reset has no moment of its own: its counters are as old as
    # those of the server, which began when it was made or last crashed.
    row = connection.execute(
        """
        SELECT pg_is_in_recovery(),
               coalesce((SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()),
                        (SELECT stats_reset FROM pg_stat_bgwriter)),
               now()
        """
    ).fetchone()
    standby, since, taken = cast("tuple[bool, datetime | None, datetime]", row)
    return standby, _utc(since), taken.astimezone(UTC)


def _relations(
    connection: Connection,
    schemas: list[str],
    indexes: Mapping[int, list[IndexFacts]],
    references: Mapping[int, list[QualifiedName]],
    *,
    standby: bool,
    approximate: bool,
) -> dict[QualifiedName, RelationFacts]:
    sizes = _LAST_KNOWN if approximate else _EXACT
    # Takes ACCESS SHARE on each relation in turn for its size, and lets it go at once: blocks only schema changes.
    rows = connection.execute(
        sql.SQL(
            """
            SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, pn.nspname, p.relname,
                   c.reltuples::bigint, {heap}, {indexes}, {toast},
                   pg_stat_get_dead_tuples(c.oid),
                   pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid),
                   pg_stat_get_tuples_hot_updated(c.oid), pg_stat_get_tuples_deleted(c.oid),
                   pg_stat_get_numscans(c.oid),
                   greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)),
                   greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid))
              FROM pg_class c
              JOIN pg_namespace n ON n.oid = c.relnamespace
              LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
              LEFT JOIN pg_inherits h ON h.inhrelid = c.oid AND c.relispartition
              LEFT JOIN pg_class p ON p.oid = h.inhparent
              LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
             WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND n.nspname = ANY (%s)
             ORDER BY n.nspname, c.relname
            """
        ).format(**sizes),
        (schemas,),
    ).fetchall()
    found: dict[QualifiedName, RelationFacts] = {}
    for oid, schema, name, kind, parent_schema, parent, *numbers, vacuumed, analyzed in rows:
        tuples, heap, index_bytes, toast, dead, inserts, updates, hot, deletes, scans = (
            int(cast("int", number or 0)) for number in numbers
        )
        own = indexes.get(cast("int", oid), [])
        relation = RelationFacts(
            name=QualifiedName(str(name), str(schema)),
            kind=_KINDS[str(kind)],
            partition_of=QualifiedName(str(parent), str(parent_schema)) if parent is not None else None,
            rows=tuples if tuples >= 0 else None,
            dead_rows=dead,
            heap_bytes=heap,
            index_bytes=index_bytes,
            toast_bytes=toast,
            # A standby replays the primary's writes; its own counters stay at zero.
            writes=None if standby else Writes(inserts, updates, hot, deletes),
            sequential_scans=scans,
            index_scans=sum(index.scans for index in own),
            last_vacuum=_utc(cast("datetime | None", vacuumed)),
            last_analyze=_utc(cast("datetime | None", analyzed)),
            references=tuple(references.get(cast("int", oid), ())),
            indexes=tuple(own),
        )
        found[relation.name] = relation
    return found


_EXACT = {
    "heap": sql.SQL("pg_relation_size(c.oid)"),
    "indexes": sql.SQL("pg_indexes_size(c.oid)"),
    "toast": sql.SQL("CASE WHEN c.reltoastrelid <> 0 THEN pg_total_relation_size(c.reltoastrelid) END"),
    "index": sql.SQL("pg_relation_size(x.oid)"),
}
# What is partitioned has -1 pages once it was analyzed.
_LAST_KNOWN = {
    "heap": sql.SQL("greatest(c.relpages, 0) * current_setting('block_size')::bigint"),
    "indexes": sql.SQL(
        "(SELECT coalesce(sum(greatest(x.relpages, 0)), 0) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
        " WHERE i.indrelid = c.oid) * current_setting('block_size')::bigint"
    ),
    "toast": sql.SQL("t.relpages * current_setting('block_size')::bigint"),
    "index": sql.SQL("greatest(x.relpages, 0) * current_setting('block_size')::bigint"),
}


def _indexes(connection: Connection, schemas: list[str], *, approximate: bool) -> dict[int, list[IndexFacts]]:
    """By the oid of their table."""
    sizes = _LAST_KNOWN if approximate else _EXACT
    # Takes ACCESS SHARE on each index in turn for its size, and lets it go at once: blocks only schema changes.
    rows = connection.execute(
        sql.SQL(
            """
            SELECT i.indrelid::bigint, n.nspname, x.relname, {index}, pg_stat_get_numscans(x.oid), i.indisvalid
              FROM pg_index i
              JOIN pg_class x ON x.oid = i.indexrelid
              JOIN pg_namespace n ON n.oid = x.relnamespace
             WHERE x.relkind IN ('i', 'I') AND n.nspname = ANY (%s)
             ORDER BY x.relname
            """
        ).format(index=sizes["index"]),
        (schemas,),
    ).fetchall()
    found: dict[int, list[IndexFacts]] = {}
    for table, schema, name, size, scans, valid in rows:
        index = IndexFacts(
            QualifiedName(str(name), str(schema)),
            int(cast("int", size or 0)),
            int(cast("int", scans or 0)),
            bool(valid),
        )
        found.setdefault(cast("int", table), []).append(index)
    return found


def _references(connection: Connection, schemas: list[str]) -> dict[int, list[QualifiedName]]:
    """By the oid of the table whose foreign keys they are."""
    # Takes no lock: reads the catalog.
    rows = connection.execute(
        """
        SELECT DISTINCT k.conrelid::bigint, n.nspname, c.relname
          FROM pg_constraint k
          JOIN pg_class c ON c.oid = k.confrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_namespace own ON own.oid = k.connamespace
         WHERE k.contype = 'f' AND k.conparentid = 0 AND own.nspname = ANY (%s)
         ORDER BY 2, 3
        """,
        (schemas,),
    ).fetchall()
    found: dict[int, list[QualifiedName]] = {}
    for table, schema, name in rows:
        found.setdefault(cast("int", table), []).append(QualifiedName(str(name), str(schema)))
    return found


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
