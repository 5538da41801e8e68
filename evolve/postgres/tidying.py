"""How tidy the server keeps a table: sizes, dead rows, when autovacuum comes; and ANALYZE."""

from __future__ import annotations

from evolve.backfill.aftermath import Tidiness
from evolve.postgres.composing import table_name
from evolve.postgres.connect import Connection
from evolve.sql.names import QualifiedName

# AccessShare on catalogs and, to see their sizes, on the tables.
_TABLES = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, pg_relation_size(c.oid), pg_stat_get_live_tuples(c.oid),
       pg_stat_get_dead_tuples(c.oid),
       CASE WHEN current_setting('autovacuum')::boolean AND coalesce(o.enabled, true)
            THEN least(coalesce(o.threshold, current_setting('autovacuum_vacuum_threshold')::float8)
                       + coalesce(o.scale, current_setting('autovacuum_vacuum_scale_factor')::float8)
                       * greatest(c.reltuples, 0),
                       -- Since PostgreSQL 18; -1 sets no limit.
                       nullif(current_setting('autovacuum_vacuum_max_threshold', true)::float8, -1))::bigint
       END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (
       SELECT bool_and(option_value::boolean) FILTER (WHERE option_name = 'autovacuum_enabled') AS enabled,
              max(option_value::float8) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold') AS threshold,
              max(option_value::float8) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor') AS scale
         FROM pg_options_to_table(c.reloptions)
        WHERE option_name IN ('autovacuum_enabled', 'autovacuum_vacuum_threshold', 'autovacuum_vacuum_scale_factor')
       ) AS o
 WHERE c.relkind = 'r' AND c.oid IN (
       SELECT relid FROM pg_class AS root JOIN pg_namespace AS home ON home.oid = root.relnamespace
        CROSS JOIN pg_partition_tree(root.oid)
        WHERE home.nspname = %(schema)s AND root.relname = %(table)s
        UNION SELECT root.oid FROM pg_class AS root JOIN pg_namespace AS home ON home.oid = root.relnamespace
        WHERE home.nspname = %(schema)s AND root.relname = %(table)s)
 ORDER BY c.oid
"""
# AccessShare on catalogs and, to see their sizes, on the indexes.
_INDEXES = """
SELECT x.indrelid::bigint, n.nspname::text, i.relname::text, pg_relation_size(i.oid)
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
 WHERE x.indrelid = ANY (%(tables)s::oid[]) AND i.relkind = 'i' ORDER BY i.oid
"""


def tidiness(connection: Connection, table: QualifiedName) -> list[Tidiness]:
    """Of the table, or of each leaf of a partitioned one; nothing where it is gone."""
    tables = connection.execute(_TABLES, {"schema": table.schema, "table": table.name}).fetchall()
    indexes: dict[int, dict[QualifiedName, int]] = {}
    found = connection.execute(_INDEXES, {"tables": [row[0] for row in tables]}).fetchall()
    for oid, schema, name, size in found:
        indexes.setdefault(int(str(oid)), {})[QualifiedName(str(name), str(schema))] = int(str(size or 0))
    return [
        Tidiness(
            table=QualifiedName(str(name), str(schema)),
            bytes=int(str(size or 0)),
            live=int(str(live)),
            dead=int(str(dead)),
            vacuumed_above=None if above is None else int(str(above)),
            indexes=indexes.get(int(str(oid)), {}),
        )
        for oid, schema, name, size, live, dead, above in tables
    ]


def analyze(connection: Connection, table: QualifiedName) -> str | None:
    """Take new statistics of all columns; what the server said instead, where it left the table out.

    In a transaction of the caller's, whose lock_timeout should be shorter than deadlock_timeout: who waits for longer
    makes autovacuum give up the table.
    """
    warnings: list[str] = []

    def hear(notice: object) -> None:
        # Who may not analyze a table is told so by a warning.
        if getattr(notice, "severity_nonlocalized", None) == "WARNING":
            warnings.append(str(getattr(notice, "message_primary", "")))

    connection.add_notice_handler(hear)
    try:
        # ShareUpdateExclusive: readers and writers go on, VACUUM and ALTER TABLE wait. Reads a sample of the rows.
        connection.execute(b"ANALYZE " + table_name(table).as_bytes())
    finally:
        connection.remove_notice_handler(hear)
    return warnings[0] if warnings else None
