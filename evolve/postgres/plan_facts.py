"""What recipes ask, answered from the live catalog; ACCESS SHARE on catalogs only."""

from __future__ import annotations

from dataclasses import replace

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from evolve.errors import Misuse
from evolve.plan.facts import (
    EnumFacts,
    Facts,
    FunctionFacts,
    IndexFacts,
    QueryFacts,
    RelationKind,
    SequenceFacts,
    ViewFacts,
)
from evolve.plan.target import Target, TargetIndex
from evolve.postgres.connect import Connection
from evolve.postgres.plan_target import read_indexes, read_target
from evolve.sql.names import QualifiedName

_RELATION_KINDS: dict[str, RelationKind] = {
    "r": "table",
    "p": "table",
    "v": "view",
    "m": "materialized view",
    "S": "sequence",
    "i": "index",
    "I": "index",
    "f": "foreign table",
    "c": "composite type",
}


def may_act_as(connection: Connection, role: str) -> bool:
    """Whether the connection's role has the privileges of `role`; reads catalogs alone."""
    row = connection.execute("SELECT pg_has_role(%s::name, 'USAGE')", (role,)).fetchone()
    return bool(row and row[0])


class LiveFacts(Facts):
    """Answers of one database, each from a snapshot of its own; the connection must be in autocommit mode."""

    source = "database"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.server_version = connection.info.server_version

    def _rows(self, query: sql.SQL, name: QualifiedName) -> list[dict[str, object]]:
        with self._connection.transaction(), self._connection.cursor(row_factory=dict_row) as cursor:
            # No lock. Types and expressions then read the same whatever path the role is set up with.
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute("SET LOCAL search_path = public")
            return cursor.execute(query, {"schema": name.schema, "name": name.name}).fetchall()

    def table(self, name: QualifiedName) -> Target:
        return read_target(self._connection, name)

    def relation(self, name: QualifiedName) -> RelationKind | None:
        rows = self._rows(_RELATION, name)
        return _RELATION_KINDS.get(str(rows[0]["kind"]), "table") if rows else None

    def index(self, name: QualifiedName) -> IndexFacts | None:
        rows = self._rows(_TABLE_OF_INDEX, name)
        if not rows:
            return None
        table = QualifiedName(str(rows[0]["table"]), str(rows[0]["schema"]))
        index = next(i for i in read_target(self._connection, table).indexes if i.name == name.name)
        scans = rows[0]["scans"]
        return IndexFacts(
            name,
            table,
            index,
            None if scans is None else int(str(scans)),
            tuple(_texts(rows[0]["needed_by"])),
            bool(rows[0]["partitioned"]),
            None if rows[0]["comment"] is None else str(rows[0]["comment"]),
        )

    def enum(self, name: QualifiedName) -> EnumFacts | None:
        rows = self._rows(_ENUM, name)
        if not rows:
            return None
        return EnumFacts(
            name,
            tuple(_texts(rows[0]["values"])),
            tuple(
                (QualifiedName(table, schema), column) for schema, table, column in _lists(rows[0]["columns"])
            ),
            tuple(_texts(rows[0]["users"])),
        )

    def view(self, name: QualifiedName) -> ViewFacts | None:
        rows = self._rows(_VIEW, name)
        if not rows:
            return None
        row = rows[0]
        materialized = row["kind"] == "m"
        return ViewFacts(
            name,
            materialized,
            str(row["definition"]).rstrip().removesuffix(";"),
            tuple((column, type_name) for column, type_name in _lists(row["columns"])),
            tuple(QualifiedName(relation, schema) for schema, relation in _lists(row["reads"])),
            tuple(QualifiedName(relation, schema) for schema, relation in _lists(row["dependents"])),
            tuple(_texts(row["options"])),
            str(row["owner"]),
            _grants(row["grants"]),
            None if row["comment"] is None else str(row["comment"]),
            self._indexes(name) if materialized else (),
            bool(row["populated"]),
            tuple((column, default) for column, default in _lists(row["defaults"])),
            tuple((column, comment) for column, comment in _lists(row["column_comments"])),
            tuple(
                (c, privilege, g, option == "true")
                for c, privilege, g, option in _lists(row["column_grants"])
            ),
            tuple(_texts(row["others"])),
        )

    def query(self, name: QualifiedName, sql: str) -> QueryFacts:
        # Nobody else can see what lies in pg_temp, nor does it stay.
        create = _as_written(f"CREATE VIEW pg_temp.evolve_trial AS {sql}\n")
        try:
            with self._connection.transaction(force_rollback=True), self._connection.cursor() as cursor:
                # ACCESS SHARE on what it reads; no row is read.
                cursor.execute("SET LOCAL search_path = public")
                cursor.execute(create, ())
                rows = cursor.execute(_TRIED).fetchall()
        except psycopg.Error as error:
            raise QueryRefused(name, error.diag.message_primary or str(error)) from error
        return QueryFacts(sql, tuple((str(column), str(type_name)) for column, type_name in rows))

    def written_function(self, name: QualifiedName, rest: str) -> FunctionFacts:
        # Nobody else can see what lies in pg_temp, nor does it stay.
        create = _as_written(f"CREATE FUNCTION pg_temp.evolve_trial{rest}")
        try:
            with self._connection.transaction(force_rollback=True), self._connection.cursor() as plain:
                # No lock on a table.
                plain.execute("SET LOCAL search_path = public")
                plain.execute(create, ())
                rows = self._connection.cursor(row_factory=dict_row).execute(_WRITTEN).fetchall()
        except psycopg.Error as error:
            raise FunctionRefused(name, error.diag.message_primary or str(error)) from error
        return replace(_function(name, rows[0]), definition=rest, grants=(), callers=())

    def _indexes(self, name: QualifiedName) -> tuple[TargetIndex, ...]:
        return read_indexes(self._connection, name)

    def functions(self, name: QualifiedName) -> tuple[FunctionFacts, ...]:
        return tuple(_function(name, row) for row in self._rows(_FUNCTIONS, name))

    def sequence(self, name: QualifiedName) -> SequenceFacts | None:
        rows = self._rows(_SEQUENCE, name)
        if not rows:
            return None
        row = rows[0]
        owner = _lists(row["owned_by"])
        return SequenceFacts(
            name,
            str(row["type"]),
            (QualifiedName(owner[0][1], owner[0][0]), owner[0][2]) if owner else None,
            None if row["last_value"] is None else int(str(row["last_value"])),
            int(str(row["increment"])),
            int(str(row["start"])),
            int(str(row["minimum"])),
            int(str(row["maximum"])),
            int(str(row["cache"])),
            bool(row["cycle"]),
            _grants(row["grants"]),
            None if row["comment"] is None else str(row["comment"]),
            tuple((QualifiedName(table, schema), column) for schema, table, column in _lists(row["users"])),
            tuple(_texts(row["others"])),
        )


class QueryRefused(Misuse):
    def __init__(self, name: QualifiedName, reason: str) -> None:
        super().__init__(
            f'the new query of "{name.plain}" is refused by the server: {reason}', fix="mend the query"
        )


class FunctionRefused(Misuse):
    def __init__(self, name: QualifiedName, reason: str) -> None:
        super().__init__(
            f'the new function "{name.plain}" is refused by the server: {reason}', fix="mend the function"
        )


def _as_written(text: str) -> sql.SQL:
    """A statement that an operator wrote; that it is one, the parser has seen before."""
    return sql.SQL(text.replace("%", "%%"))  # pyright: ignore[reportArgumentType]


def _function(name: QualifiedName, row: dict[str, object]) -> FunctionFacts:
    return FunctionFacts(
        name,
        str(row["arguments"]),
        str(row["result"]),
        str(row["definition"]).rstrip(),
        {"i": "immutable", "s": "stable"}.get(str(row["volatility"]), "volatile"),  # type: ignore[arg-type]
        tuple(_texts(row["callers"])),
        _grants(row["grants"]),
        None if row["comment"] is None else str(row["comment"]),
        str(row["signature"]),
        tuple(_texts(row["types"])),
        tuple(_texts(row["names"])),
        int(str(row["optional"])),
        bool(row["strict"]),
        bool(row["security_definer"]),
        None if row["owner"] is None else str(row["owner"]),
    )


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _lists(value: object) -> list[list[str]]:
    return [_texts(each) for each in value] if isinstance(value, list) else []


def _grants(value: object) -> tuple[tuple[str, str, bool], ...]:
    return tuple((privilege, grantee, option == "true") for privilege, grantee, option in _lists(value))


_RELATION = sql.SQL("""
    SELECT c.relkind::text AS kind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s
""")

_TABLE_OF_INDEX = sql.SQL("""
    SELECT t.relname::text AS table, tn.nspname::text AS schema, c.relkind = 'I' AS partitioned,
        (SELECT s.idx_scan FROM pg_stat_user_indexes s WHERE s.indexrelid = c.oid) AS scans,
        obj_description(c.oid, 'pg_class') AS comment,
        ARRAY(
            SELECT 'foreign key "' || f.conname || '" of ' || f.conrelid::regclass FROM pg_constraint f
            WHERE f.contype = 'f' AND f.conindid = c.oid AND f.conparentid = 0
            UNION SELECT 'the replica identity of ' || i.indrelid::regclass WHERE i.indisreplident
            UNION SELECT 'index ' || h.inhparent::regclass || ' of the partitioned table'
            FROM pg_inherits h WHERE h.inhrelid = c.oid
            ORDER BY 1
        ) AS needed_by
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indexrelid = c.oid
    JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND t.relkind IN ('r', 'p')
""")

_ENUM = sql.SQL("""
    SELECT ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder) AS values,
        ARRAY(SELECT ARRAY[cn.nspname::text, c.relname::text, a.attname::text]
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
            WHERE a.atttypid IN (t.oid, t.typarray) AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
                AND cn.nspname <> 'evolve'
            ORDER BY 1) AS columns,
        ARRAY(SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)
            FROM pg_depend d LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
            WHERE d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray) AND d.deptype = 'n'
                AND d.classid NOT IN ('pg_attrdef'::regclass, 'pg_constraint'::regclass)
                AND (c.relkind IS NULL OR c.relkind NOT IN ('r', 'p', 'i', 'I'))
            ORDER BY 1) AS users
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname = %(schema)s AND t.typname = %(name)s AND t.typtype = 'e'
""")

_VIEW = sql.SQL("""
    SELECT c.relkind::text AS kind, pg_get_viewdef(c.oid) AS definition,
        ARRAY(SELECT ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod)] FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns,
        ARRAY(SELECT DISTINCT ARRAY[rn.nspname::text, r.relname::text]
            FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
            JOIN pg_class r ON d.refclassid = 'pg_class'::regclass AND r.oid = d.refobjid AND r.oid <> c.oid
            JOIN pg_namespace rn ON rn.oid = r.relnamespace WHERE w.ev_class = c.oid ORDER BY 1) AS reads,
        ARRAY(SELECT DISTINCT ARRAY[vn.nspname::text, v.relname::text]
            FROM pg_depend d JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
            JOIN pg_class v ON v.oid = w.ev_class AND v.oid <> c.oid
            JOIN pg_namespace vn ON vn.oid = v.relnamespace
            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid ORDER BY 1) AS dependents,
        coalesce(c.reloptions, '{}') AS options, pg_get_userbyid(c.relowner)::text AS owner,
        ARRAY(SELECT ARRAY[x.privilege_type,
                CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END,
                x.is_grantable::text]
            FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner ORDER BY 1) AS grants,
        obj_description(c.oid, 'pg_class') AS comment, c.relispopulated AS populated,
        ARRAY(SELECT ARRAY[a.attname::text, pg_get_expr(e.adbin, e.adrelid)]
            FROM pg_attribute a JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
            WHERE a.attrelid = c.oid ORDER BY a.attnum) AS defaults,
        ARRAY(SELECT ARRAY[a.attname::text, col_description(c.oid, a.attnum)] FROM pg_attribute a
            WHERE a.attrelid = c.oid AND col_description(c.oid, a.attnum) IS NOT NULL ORDER BY a.attnum)
            AS column_comments,
        ARRAY(SELECT ARRAY[a.attname::text, x.privilege_type,
                CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END,
                x.is_grantable::text]
            FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) x
            WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY 1) AS column_grants,
        ARRAY(SELECT 'trigger "' || tgname || '"' FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal
            UNION SELECT 'rule "' || rulename || '"' FROM pg_rewrite WHERE ev_class = c.oid AND rulename <> '_RETURN'
            UNION SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d
            WHERE (d.refclassid, d.refobjid) IN (('pg_class'::regclass, c.oid), ('pg_type'::regclass, c.reltype))
                AND d.deptype = 'n' AND NOT (d.classid = 'pg_rewrite'::regclass AND EXISTS (
                    SELECT FROM pg_rewrite w JOIN pg_class v ON v.oid = w.ev_class
                    WHERE w.oid = d.objid AND v.relkind IN ('v', 'm')))
            ORDER BY 1) AS others
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind IN ('v', 'm')
""")

_TRIED = sql.SQL("""
    SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = to_regclass('pg_temp.evolve_trial') AND attnum > 0 ORDER BY attnum
""")

_WRITTEN = sql.SQL("""
    SELECT pg_get_function_identity_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
        '' AS definition, p.provolatile::text AS volatility, NULL AS callers, NULL AS grants, NULL AS comment,
        pg_get_function_arguments(p.oid) AS signature, p.pronargdefaults AS optional, p.proisstrict AS strict,
        p.prosecdef AS security_definer, NULL AS owner,
        ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u(t, n) ORDER BY n)
            AS types,
        ARRAY(SELECT coalesce(p.proargnames[n], '') FROM generate_series(1, p.pronargs) n) AS names
    FROM pg_proc p WHERE p.pronamespace = pg_my_temp_schema() AND p.proname = 'evolve_trial'
""")

# The arguments that a call gives come first unless OUT arguments stand between them.
_FUNCTIONS = sql.SQL("""
    SELECT pg_get_function_identity_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
        pg_get_functiondef(p.oid) AS definition, p.provolatile::text AS volatility,
        ARRAY(SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d
            WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid AND d.deptype = 'n'
            UNION SELECT pg_describe_object('pg_attrdef'::regclass, e.oid, 0)  -- a generated column, of PostgreSQL 14
            FROM pg_depend d JOIN pg_attrdef e ON d.classid = 'pg_class'::regclass
                AND (e.adrelid, e.adnum) = (d.objid, d.objsubid)
            WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid AND d.deptype = 'a'
            ORDER BY 1) AS callers,
        ARRAY(SELECT ARRAY[x.privilege_type,
                CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END,
                x.is_grantable::text]
            FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
            WHERE x.grantee <> p.proowner ORDER BY 1) AS grants,
        obj_description(p.oid, 'pg_proc') AS comment,
        pg_get_function_arguments(p.oid) AS signature, p.pronargdefaults AS optional, p.proisstrict AS strict,
        p.prosecdef AS security_definer, pg_get_userbyid(p.proowner)::text AS owner,
        ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u(t, n) ORDER BY n)
            AS types,
        ARRAY(SELECT coalesce(p.proargnames[n], '') FROM generate_series(1, p.pronargs) n) AS names
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = %(schema)s AND p.proname = %(name)s AND p.prokind = 'f'
    ORDER BY 1
""")

_SEQUENCE = sql.SQL("""
    SELECT format_type(s.seqtypid, NULL) AS type, s.seqincrement AS increment, s.seqstart AS start,
        s.seqmin AS minimum, s.seqmax AS maximum, s.seqcache AS cache, s.seqcycle AS cycle,
        obj_description(c.oid, 'pg_class') AS comment,
        ARRAY(SELECT ARRAY[x.privilege_type,
                CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END,
                x.is_grantable::text]
            FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner ORDER BY 1) AS grants,
        ARRAY(SELECT ARRAY[un.nspname::text, u.relname::text, a.attname::text] FROM pg_depend d
            JOIN pg_attrdef e ON d.classid = 'pg_attrdef'::regclass AND e.oid = d.objid
            JOIN pg_attribute a ON a.attrelid = e.adrelid AND a.attnum = e.adnum
            JOIN pg_class u ON u.oid = e.adrelid JOIN pg_namespace un ON un.oid = u.relnamespace
            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid ORDER BY 1) AS users,
        ARRAY(SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d
            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype = 'n'
                AND d.classid <> 'pg_attrdef'::regclass ORDER BY 1) AS others,
        ARRAY(SELECT ARRAY[tn.nspname::text, t.relname::text, a.attname::text]
            FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                AND d.refclassid = 'pg_class'::regclass) AS owned_by,
        CASE WHEN has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(c.oid) END
            AS last_value
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s
""")
