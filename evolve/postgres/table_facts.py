"""Read what decides how a live table can be changed: its facts, and what hangs on one of its columns."""

from __future__ import annotations

from typing import Literal, cast

from evolve.errors import Misuse
from evolve.postgres.catalog import read_schema
from evolve.postgres.connect import Connection
from evolve.sql.facts import ColumnGrant, Dependent, Publication, TableFacts
from evolve.sql.names import QualifiedName

_ReplicaIdentity = Literal["default", "nothing", "full", "index"]
_REPLICA_IDENTITY: dict[str, _ReplicaIdentity] = {"d": "default", "n": "nothing", "f": "full", "i": "index"}


class NoSuchTable(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'there is no table "{table.plain}" in this database',
            fix="check the name and its schema, and that --database-url names the right database",
        )


class NoSuchColumn(Misuse):
    def __init__(self, table: QualifiedName, column: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f'table "{table.plain}" has no column "{column}"', fix=f"its columns are: {', '.join(known)}"
        )


def table_facts(connection: Connection, table: QualifiedName) -> TableFacts:
    """Read the facts of one table.

    Raises:
        NoSuchTable: it is not there, or is a view.
    """
    with connection.transaction():
        schema = read_schema(connection)
        found = schema.table(table)
        if found is None:
            raise NoSuchTable(table)
        oid = _oid(connection, table)
        # Takes ACCESS SHARE on the table and its partitions for their sizes: blocks nothing but ACCESS EXCLUSIVE.
        row = connection.execute(
            """
            WITH tree AS (
                SELECT %(oid)s::oid AS relid
                UNION SELECT t.relid FROM pg_partition_tree(%(oid)s::oid::regclass) t WHERE t.isleaf
            )
            SELECT (SELECT CASE WHEN bool_and(c.reltuples < 0) THEN NULL
                                ELSE sum(greatest(c.reltuples, 0))::bigint END
                      FROM tree JOIN pg_class c ON c.oid = tree.relid AND c.relkind = 'r'),
                   (SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM tree),
                   pg_get_userbyid(c.relowner), pg_has_role(c.relowner, 'MEMBER'),
                   c.relrowsecurity, c.relforcerowsecurity, c.relreplident::text,
                   ARRAY(SELECT polname FROM pg_policy WHERE polrelid = c.oid ORDER BY 1),
                   ARRAY(SELECT rulename FROM pg_rewrite WHERE ev_class = c.oid ORDER BY 1)
              FROM pg_class c WHERE c.oid = %(oid)s
            """,
            {"oid": oid},
        ).fetchone()
        if row is None:
            raise NoSuchTable(table)
        rows, size, owner, ours, secured, forced, identity, policies, rules = row
        return TableFacts(
            table=found,
            estimated_rows=cast("int | None", rows),
            bytes=cast("int", size),
            indexes=tuple(schema.indexes_of(table)),
            foreign_keys_in=tuple((other.name, key) for other, key in schema.foreign_keys_to(table)),
            views=tuple(schema.views_reading(table)),
            publications=_publications(connection, oid),
            column_grants=_grants(connection, oid),
            policies=tuple(cast("list[str]", policies)),
            row_security=bool(secured),
            force_row_security=bool(forced),
            replica_identity=_REPLICA_IDENTITY[str(identity)],
            owner=str(owner),
            owner_is_us=bool(ours),
            server_version=connection.info.server_version // 10000,
            rules=tuple(cast("list[str]", rules)),
        )


def dependents_of_column(connection: Connection, table: QualifiedName, column: str) -> tuple[Dependent, ...]:
    """Everything in the database that names the column, as far as the catalog records it.

    Functions in PL/pgSQL and other languages with a string body name columns where no catalog sees it.

    Raises:
        NoSuchTable: the table is not there.
        NoSuchColumn: the column is not there.
    """
    with connection.transaction():
        oid = _oid(connection, table)
        number = _attribute(connection, table, oid, column)
        # Takes no lock on user tables: reads the catalog only.
        rows = connection.execute(_DEPENDENTS, {"oid": oid, "number": number, "column": column}).fetchall()
    found = (Dependent(str(kind), str(name), None if d is None else str(d)) for kind, name, d in rows)
    return tuple(sorted(set(found), key=lambda dependent: (dependent.kind, dependent.name)))


# One arm per catalog: pg_depend tells which objects name the column, each catalog what they are.
_DEPENDENTS = """
WITH named AS (
    SELECT DISTINCT d.classid, d.objid, d.objsubid, d.deptype FROM pg_depend d
     WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s AND d.refobjsubid = %(number)s
)
SELECT 'index' AS kind, c.oid::regclass::text AS name, pg_get_indexdef(c.oid) AS detail
  FROM named d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('i', 'I')
 UNION
SELECT CASE WHEN k.contype = 'f' AND k.conrelid <> %(oid)s THEN 'foreign key to it' ELSE 'constraint' END,
       k.conname, k.conrelid::regclass || ': ' || pg_get_constraintdef(k.oid)
  FROM named d JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
 WHERE k.contype <> 'n' AND k.conparentid = 0
 UNION
SELECT 'constraint', k.conname, k.conrelid::regclass || ': ' || pg_get_constraintdef(k.oid)
  FROM pg_constraint k
 WHERE k.conrelid = %(oid)s AND k.contype IN ('p', 'u', 'x') AND %(number)s = ANY (k.conkey)
 UNION
SELECT 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
  FROM pg_index i WHERE i.indrelid = %(oid)s AND %(number)s = ANY (i.indkey::smallint[])
 UNION
SELECT 'replica identity', i.indexrelid::regclass::text, NULL
  FROM pg_index i WHERE i.indrelid = %(oid)s AND i.indisreplident AND %(number)s = ANY (i.indkey::smallint[])
 UNION
SELECT CASE WHEN w.rulename <> '_RETURN' THEN 'rule' WHEN c.relkind = 'm' THEN 'materialized view' ELSE 'view' END,
       CASE WHEN w.rulename <> '_RETURN' THEN w.rulename ELSE c.oid::regclass::text END,
       CASE WHEN w.rulename <> '_RETURN' THEN pg_get_ruledef(w.oid) ELSE pg_get_viewdef(c.oid) END
  FROM named d JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
  JOIN pg_class c ON c.oid = w.ev_class
 UNION
SELECT CASE WHEN a.attnum = %(number)s THEN 'default' ELSE 'generated column' END, a.attname,
       pg_get_expr(f.adbin, f.adrelid)
  FROM named d JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
  JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
 WHERE a.attnum = %(number)s OR a.attgenerated <> ''
 UNION
SELECT 'generated column', a.attname, pg_get_expr(f.adbin, f.adrelid)
  FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.objid AND a.attnum = d.objsubid AND a.attgenerated <> ''
  JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
 WHERE d.classid = 'pg_class'::regclass AND d.objid = %(oid)s AND d.objsubid <> %(number)s
   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s AND d.refobjsubid = %(number)s
 UNION
SELECT 'trigger', t.tgname, pg_get_triggerdef(t.oid)
  FROM pg_trigger t
 WHERE NOT t.tgisinternal AND t.tgrelid = %(oid)s
   AND (%(number)s = ANY (t.tgattr::smallint[])
        OR EXISTS (SELECT FROM named d WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid))
 UNION
SELECT 'policy', p.polname, pg_get_expr(p.polqual, p.polrelid)
  FROM named d JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
 UNION
SELECT 'statistics', s.stxname, pg_get_statisticsobjdef(s.oid)
  FROM pg_statistic_ext s WHERE s.stxrelid = %(oid)s
   AND (%(number)s = ANY (s.stxkeys::smallint[])
        OR EXISTS (SELECT FROM named d WHERE d.classid = 'pg_statistic_ext'::regclass AND d.objid = s.oid))
 UNION
SELECT 'partition key', p.partrelid::regclass::text, pg_get_partkeydef(p.partrelid)
  FROM pg_partitioned_table p
 WHERE p.partrelid = %(oid)s
   AND (%(number)s = ANY (p.partattrs::smallint[])
        -- A key that is an expression: the column hangs on the table, not the other way about.
        OR EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = %(oid)s AND d.objsubid = %(number)s
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s AND d.refobjsubid = 0
                      AND d.deptype = 'i'))
 UNION
SELECT 'sequence', c.oid::regclass::text, NULL
  FROM named d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'S'
 UNION
SELECT 'function', p.oid::regprocedure::text, NULL
  FROM named d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
 UNION
SELECT 'publication', p.pubname, NULL
  FROM pg_publication_tables t JOIN pg_publication p USING (pubname)
  JOIN pg_class c ON c.oid = %(oid)s JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE t.schemaname = n.nspname AND t.tablename = c.relname
   AND (EXISTS (SELECT FROM pg_publication_rel r
                 WHERE r.prpubid = p.oid AND r.prrelid = c.oid
                   AND (to_jsonb(r) ->> 'prattrs' IS NOT NULL AND %(number)s::text
                            = ANY (string_to_array(to_jsonb(r) ->> 'prattrs', ' '))
                        OR EXISTS (SELECT FROM named d WHERE d.classid = 'pg_publication_rel'::regclass
                                                         AND d.objid = r.oid))))
 UNION
SELECT 'grant', CASE WHEN x.grantee = 0 THEN 'public' ELSE pg_get_userbyid(x.grantee) END, x.privilege_type
  FROM pg_attribute a, aclexplode(a.attacl) x
 WHERE a.attrelid = %(oid)s AND a.attnum = %(number)s
"""


def _oid(connection: Connection, table: QualifiedName) -> int:
    # Takes no lock: reads the catalog.
    row = connection.execute(
        """
        SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')
        """,
        (table.schema, table.name),
    ).fetchone()
    if row is None:
        raise NoSuchTable(table)
    return cast("int", row[0])


def _attribute(connection: Connection, table: QualifiedName, oid: int, column: str) -> int:
    # Takes no lock: reads the catalog.
    rows = connection.execute(
        """
        SELECT attname, attnum FROM pg_attribute
         WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        """,
        (oid,),
    ).fetchall()
    numbers = {str(name): cast("int", number) for name, number in rows}
    if column not in numbers:
        raise NoSuchColumn(table, column, tuple(numbers))
    return numbers[column]


def _publications(connection: Connection, oid: int) -> tuple[Publication, ...]:
    # Takes no lock: reads the catalog. Column lists and row filters exist from PostgreSQL 15; to_jsonb() lets one
    # query serve 14 as well.
    rows = connection.execute(
        """
        SELECT p.pubname, r.oid IS NULL,
               (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                 WHERE a.attrelid = c.oid
                   AND a.attnum::text = ANY (string_to_array(to_jsonb(r) ->> 'prattrs', ' '))),
               to_jsonb(t) ->> 'rowfilter'
          FROM pg_publication_tables t
          JOIN pg_publication p USING (pubname)
          JOIN pg_class c ON c.oid = %s
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
         WHERE t.schemaname = n.nspname AND t.tablename = c.relname
         ORDER BY p.pubname
        """,
        (oid,),
    ).fetchall()
    return tuple(
        Publication(
            str(name),
            tuple(cast("list[str]", columns)) if columns is not None else None,
            str(row_filter) if row_filter is not None else None,
            all_tables=bool(implicit),
        )
        for name, implicit, columns, row_filter in rows
    )


def _grants(connection: Connection, oid: int) -> tuple[ColumnGrant, ...]:
    # Takes no lock: reads the catalog.
    rows = connection.execute(
        """
        SELECT a.attname, CASE WHEN x.grantee = 0 THEN 'public' ELSE pg_get_userbyid(x.grantee) END,
               x.privilege_type
          FROM pg_attribute a, aclexplode(a.attacl) x
         WHERE a.attrelid = %s AND NOT a.attisdropped ORDER BY a.attnum, 2, 3
        """,
        (oid,),
    ).fetchall()
    return tuple(ColumnGrant(str(column), str(grantee), str(what)) for column, grantee, what in rows)
