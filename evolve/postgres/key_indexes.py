"""The unique indexes of a table, and whether the table can be walked by each of them."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.rows import class_row

from evolve.backfill.keyset import KeyColumn, UniqueIndex
from evolve.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class _Index:
    name: str
    primary: bool
    not_null: bool
    names: list[str]
    types: list[str]
    unfit: str | None


def read_indexes(connection: Connection, oid: int) -> list[UniqueIndex]:
    """All unique indexes of the table. A domain counts as the type below it, whose order and spelling it has."""
    with connection.cursor(row_factory=class_row(_Index)) as cursor:
        rows = cursor.execute(_INDEXES, {"oid": oid}).fetchall()
    return [
        UniqueIndex(
            name=row.name,
            columns=tuple(map(KeyColumn, row.names, row.types)),
            primary=row.primary,
            not_null=row.not_null,
            unfit=row.unfit,
        )
        for row in rows
    ]


# Options 0 and 3 (ASC, or DESC NULLS FIRST) give the order that ORDER BY asks for. A key is kept as text: what text
# depends on settings is taken under those that everybody reads, and what `to_jsonb` spells as an object, as a list, or
# as text of another meaning does not read back at all. For "char" the planner looks for a collation that there is not.
# A NOT NULL that was not validated (PostgreSQL 18) is as good as none. AccessShare on catalogs only.
_INDEXES = """
    SELECT i.relname::text AS name, x.indisprimary AS primary,
           coalesce(bool_and(a.attnotnull AND NOT EXISTS (
               SELECT FROM pg_constraint c WHERE c.conrelid = x.indrelid AND c.contype = 'n' AND NOT c.convalidated
                  AND a.attnum = ANY (c.conkey))), false) AS not_null,
           array_agg(coalesce(a.attname::text, pg_get_indexdef(x.indexrelid, n + 1, true)) ORDER BY n) AS names,
           array_agg(coalesce(format_type(base.oid, -1), '') ORDER BY n) AS types,
           CASE WHEN m.amname <> 'btree' THEN 'it is no b-tree'
                WHEN NOT x.indisvalid OR NOT x.indisready
                THEN 'it is not valid: its build has not ended, or has failed'
                WHEN x.indpred IS NOT NULL THEN 'it has no entry for rows beside its WHERE'
                WHEN x.indexprs IS NOT NULL THEN 'it is over an expression'
                WHEN NOT bool_and(o.opcdefault) THEN 'its operator class is not the one that ORDER BY takes'
                WHEN NOT bool_and(x.indcollation[n] = a.attcollation) THEN 'its collation is not the column''s'
                WHEN NOT bool_and(x.indoption[n] = 0) AND NOT bool_and(x.indoption[n] = 3)
                THEN 'its columns do not all rise with nulls last, or all fall with nulls first'
                ELSE string_agg('"' || a.attname || '" is of type ' || format_type(a.atttypid, a.atttypmod) || ': '
                                || unfit.reason, '; ' ORDER BY n) END AS unfit
      FROM pg_index x
      JOIN pg_class i ON i.oid = x.indexrelid
      JOIN pg_am m ON m.oid = i.relam
     CROSS JOIN LATERAL generate_series(0, x.indnkeyatts - 1) AS n
      LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[n] AND a.attnum > 0
      JOIN pg_opclass o ON o.oid = x.indclass[n]
      LEFT JOIN LATERAL (
          WITH RECURSIVE below AS (
              SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
              UNION ALL
              SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t JOIN below ON t.oid = below.typbasetype
               WHERE below.typtype = 'd')
          SELECT below.oid FROM below WHERE below.typtype <> 'd') AS base ON true
      LEFT JOIN LATERAL (
          SELECT r.rngsubtype AS oid FROM pg_range r WHERE base.oid IN (r.rngtypid, r.rngmultitypid)
          ) AS inside ON true
      LEFT JOIN LATERAL (
          SELECT CASE
                 WHEN t.typtype = 'c' THEN 'a row of its own does not read back from the text it is kept as'
                 WHEN t.typelem <> 0 AND t.typsubscript = 'array_subscript_handler'::regproc
                 THEN 'an array does not read back from the text it is kept as'
                 WHEN t.oid = 'jsonb'::regtype OR t.oid >= 16384 AND EXISTS (
                      SELECT FROM pg_cast c WHERE c.castsource = t.oid AND c.casttarget = 'json'::regtype)
                 THEN 'it does not read back from the text it is kept as'
                 WHEN t.oid = '"char"'::regtype THEN 'PostgreSQL cannot plan for it by statistics'
                 WHEN 'money'::regtype IN (t.oid, inside.oid) THEN 'how it is written depends on lc_monetary'
                 WHEN t.typname LIKE 'reg%%' AND t.typnamespace = 'pg_catalog'::regnamespace
                 THEN 'how it is written depends on the search_path, and changes with names'
                 WHEN inside.oid >= 16384 THEN 'a range of a type that PostgreSQL does not bring along'
                 WHEN 'float4'::regtype IN (t.oid, inside.oid) OR 'float8'::regtype IN (t.oid, inside.oid)
                 THEN CASE WHEN current_setting('extra_float_digits')::integer < 1
                           THEN 'with extra_float_digits = ' || current_setting('extra_float_digits')
                                || ' it is written less than whole; set it to 1 for this role' END
                 WHEN 'interval'::regtype IN (t.oid, inside.oid)
                 THEN CASE WHEN current_setting('IntervalStyle') <> 'postgres'
                           THEN 'it reads back only with IntervalStyle = postgres; set it so for this role' END
                 WHEN inside.oid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
                 THEN CASE WHEN current_setting('DateStyle') NOT LIKE 'ISO%%'
                           THEN 'it reads back only with DateStyle = ISO; set it so for this role' END
                 END AS reason
            FROM pg_type t WHERE t.oid = base.oid) AS unfit ON true
     WHERE x.indrelid = %(oid)s::oid AND x.indisunique
     GROUP BY x.indexrelid, i.relname, x.indisprimary, m.amname, x.indisvalid, x.indisready, x.indpred, x.indexprs
     ORDER BY i.relname
"""
