"""Reads how a database is used: catalogs, the planner's statistics without any value, and pg_stat_statements."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import cast

from evolve.partition.advice.workload import Column, Index, Recorded, Reference, Table, Workload
from evolve.postgres.connect import Connection
from evolve.postgres.query_statistics import NoStatements, read_statements
from evolve.sql.names import QualifiedName


def read_workload(connection: Connection, schemas: Collection[str]) -> Workload:
    """That of the tables in `schemas`. Takes no lock but ACCESS SHARE on catalogs.

    Statistics of columns that the role may not read are not there; `Workload.notes` tells what is missing.
    """
    chosen = sorted(schemas)
    notes = []
    try:
        found = read_statements(connection)
        statements = tuple(Recorded(each.text, each.calls, each.seconds, each.rows) for each in found.counted)
        if found.hidden:
            notes.append(f"{found.hidden} statements of other roles may not be read: GRANT pg_read_all_stats")
        if found.evicted:
            notes.append("pg_stat_statements had no room for all statements: raise pg_stat_statements.max")
    except NoStatements as error:
        statements = None
        notes.append(f"{error.what}: {error.fix}")
    columns = _columns(connection, chosen)
    indexes, references = _indexes(connection, chosen), _references(connection, chosen)
    tables = {
        name: Table(
            name, by, tuple(columns.get(oid, ())), tuple(indexes.get(oid, ())), tuple(references.get(oid, ()))
        )
        for oid, (name, by) in _tables(connection, chosen).items()
    }
    unknown = sum(all(column.distinct is None for column in table.columns) for table in tables.values())
    if unknown:
        notes.append(
            f"of {unknown} tables there are no statistics: ANALYZE them, or ask with a role that may read them"
        )
    return Workload(MappingProxyType(tables), statements, tuple(notes))


def _tables(connection: Connection, schemas: list[str]) -> dict[int, tuple[QualifiedName, str | None]]:
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        """
        SELECT c.oid::bigint, n.nspname, c.relname, pg_get_partkeydef(c.oid)
          FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname = ANY (%s)
         ORDER BY n.nspname, c.relname
        """,
        (schemas,),
    ).fetchall()
    return {
        cast("int", oid): (QualifiedName(str(name), str(schema)), None if by is None else str(by))
        for oid, schema, name, by in rows
    }


def _columns(connection: Connection, schemas: list[str]) -> Mapping[int, list[Column]]:
    # ACCESS SHARE on catalogs only. What is frequent and where histograms end is turned into numbers by the server.
    rows = connection.execute(
        """
        SELECT c.oid::bigint, a.attname, format_type(a.atttypid, NULL), a.attnotnull, s.n_distinct::float8,
               coalesce(s.null_frac, 0)::float8, (s.most_common_freqs)[1]::float8, s.correlation::float8,
               coalesce(s.avg_width, 0),
               a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) ~*
                   '^(nextval|now|current_timestamp|localtimestamp|statement_timestamp|transaction_timestamp|'
                   'clock_timestamp|uuidv7|uuid_generate_v7)\\M', false),
               CASE WHEN a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
                     AND s.histogram_bounds::text !~ 'infinity'
                    THEN (SELECT extract(epoch FROM h[array_length(h, 1)]::timestamptz - h[1]::timestamptz) / 86400
                            FROM (SELECT s.histogram_bounds::text::text[] AS h) AS b)::float8 END
          FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
          LEFT JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
               AND s.inherited = (c.relkind = 'p')
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY (%s)
         ORDER BY c.oid, a.attnum
        """,
        (schemas,),
    ).fetchall()
    found: dict[int, list[Column]] = {}
    for oid, name, type_, not_null, distinct, nulls, largest, correlation, width, growing, span in rows:
        column = Column(
            str(name),
            str(type_),
            bool(not_null),
            cast("float | None", distinct),
            cast("float", nulls),
            cast("float | None", largest),
            cast("float | None", correlation),
            cast("int", width),
            bool(growing),
            cast("float | None", span),
        )
        found.setdefault(cast("int", oid), []).append(column)
    return found


def _indexes(connection: Connection, schemas: list[str]) -> Mapping[int, list[Index]]:
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        """
        SELECT i.indrelid::bigint, x.relname, m.amname,
               ARRAY(SELECT coalesce(a.attname::text, '')
                       FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (num, place)
                       LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.num AND k.num > 0
                      WHERE k.place <= i.indnkeyatts ORDER BY k.place),
               ARRAY(SELECT concat_ws('/', (i.indclass::oid[])[p], (i.indcollation::oid[])[p], (i.indoption::int2[])[p])
                       FROM generate_series(0, i.indnkeyatts - 1) AS p ORDER BY p),
               ARRAY(SELECT coalesce(a.attname::text, '')
                       FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (num, place)
                       LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.num
                      WHERE k.place > i.indnkeyatts ORDER BY k.place),
               i.indisunique, i.indisprimary,
               EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x')),
               i.indisvalid, pg_get_expr(i.indpred, i.indrelid)
          FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_am AS m ON m.oid = x.relam
          JOIN pg_namespace AS n ON n.oid = x.relnamespace
         WHERE NOT x.relispartition AND n.nspname = ANY (%s) ORDER BY x.relname
        """,
        (schemas,),
    ).fetchall()
    found: dict[int, list[Index]] = {}
    for oid, name, method, columns, kinds, included, unique, primary, constraint, valid, predicate in rows:
        index = Index(
            str(name),
            str(method),
            tuple(cast("list[str]", columns)),
            tuple(cast("list[str]", kinds)),
            tuple(cast("list[str]", included)),
            bool(unique),
            bool(primary),
            bool(constraint),
            bool(valid),
            None if predicate is None else str(predicate),
        )
        found.setdefault(cast("int", oid), []).append(index)
    return found


def _references(connection: Connection, schemas: list[str]) -> Mapping[int, list[Reference]]:
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        """
        SELECT k.conrelid::bigint, k.conname, tn.nspname, t.relname,
               ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS c (num, place)
                       JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = c.num ORDER BY c.place),
               ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS c (num, place)
                       JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = c.num ORDER BY c.place)
          FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace
          JOIN pg_class AS t ON t.oid = k.confrelid JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
         WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = ANY (%s) ORDER BY k.conname
        """,
        (schemas,),
    ).fetchall()
    found: dict[int, list[Reference]] = {}
    for oid, name, schema, table, columns, others in rows:
        reference = Reference(
            str(name),
            tuple(cast("list[str]", columns)),
            QualifiedName(str(table), str(schema)).full,
            tuple(cast("list[str]", others)),
        )
        found.setdefault(cast("int", oid), []).append(reference)
    return found
