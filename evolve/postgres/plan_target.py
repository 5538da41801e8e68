"""What a recipe has to know of a table, read from the live catalog."""

from __future__ import annotations

from psycopg import sql
from psycopg.rows import dict_row

from evolve.errors import Misuse, Refused
from evolve.plan.target import (
    ConstraintKind,
    Dependent,
    DependentKind,
    Target,
    TargetColumn,
    TargetConstraint,
    TargetIndex,
    TargetTrigger,
)
from evolve.postgres.connect import Connection
from evolve.sql.names import QualifiedName
from evolve.sql.parse import ExpressionNotRead, expression

_KINDS: dict[str, ConstraintKind] = {
    "c": "check",
    "u": "unique",
    "f": "foreign key",
    "p": "primary key",
    "x": "exclude",
}


class NoSuchTable(Misuse):
    def __init__(self, table: QualifiedName, database: str, near: str | None) -> None:
        super().__init__(
            f'there is no table "{table.plain}" in database "{database}"',
            fix=f'did you mean "{near}"?'
            if near
            else "check the name; another schema is written schema.table",
        )


class NotATable(Misuse):
    def __init__(self, table: QualifiedName, kind: str) -> None:
        super().__init__(f'"{table.plain}" is a {kind}, not a table', fix="name a table")


class HiddenTable(Refused):
    """A relation in another schema has the name of one in schema public, and is found before it."""

    def __init__(self, table: QualifiedName, found: str, path: str) -> None:
        super().__init__(
            f'the search_path of this role, {path}, finds {found} under the name "{table}", not {table.full}',
            why=f"revisions name tables of schema public without it, and would change {found}",
            fix="have the role that migrates find public first: options=-csearch_path=public in the URL; "
            "or, if the other one was meant, name it with its schema",
        )


_RELATION_KINDS = {
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
    "i": "index",
    "I": "index",
    "c": "composite type",
}


def read_target(connection: Connection, table: QualifiedName) -> Target:
    """Read everything about `table` in one read-only snapshot; ACCESS SHARE on catalogs only.

    Raises:
        NoSuchTable: nothing has that name; NotATable: a view or the like has it.
        HiddenTable: revisions of this role would find another one.
    """
    with connection.transaction():
        # No lock. Types and expressions then read the same whatever path the role is set up with.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        _refuse_hidden(connection, table)
        connection.execute("SET LOCAL search_path = public")
        return _Reader(connection, table).read()


def _refuse_hidden(connection: Connection, table: QualifiedName) -> None:
    # No lock.
    row = connection.execute(
        "SELECT n.nspname::text, current_setting('search_path') FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s) AND c.oid <> to_regclass(%s)",
        (str(table), table.full),
    ).fetchone()
    if row is not None:
        raise HiddenTable(table, QualifiedName(table.name, str(row[0])).full, str(row[1]))


def read_indexes(connection: Connection, relation: QualifiedName) -> tuple[TargetIndex, ...]:
    """The indexes of a table or materialised view; none where there is no such relation."""
    with connection.transaction():
        # No lock.
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute("SET LOCAL search_path = public")
        return _Reader(connection, relation).indexes()


class _Reader:
    def __init__(self, connection: Connection, table: QualifiedName) -> None:
        self._connection = connection
        self._table = table
        self._oid = 0

    def _rows(self, query: sql.SQL, **parameters: object) -> list[dict[str, object]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, {"oid": self._oid, **parameters}).fetchall()

    def indexes(self) -> tuple[TargetIndex, ...]:
        found = self._rows(_RELATION, schema=self._table.schema, name=self._table.name)
        self._oid = int(str(found[0]["oid"])) if found else 0
        return self._indexes()

    def read(self) -> Target:
        found = self._rows(_RELATION, schema=self._table.schema, name=self._table.name)
        if not found:
            near = self._rows(_NEAR, schema=self._table.schema, name=self._table.name)
            raise NoSuchTable(
                self._table, self._connection.info.dbname, str(near[0]["relname"]) if near else None
            )
        relation = found[0]
        kind = str(relation["relkind"])
        if kind not in ("r", "p"):
            raise NotATable(self._table, _RELATION_KINDS.get(kind, "relation"))
        self._oid = int(str(relation["oid"]))
        rows = int(str(relation["reltuples"]))
        return Target(
            self._table,
            columns=self._columns(),
            constraints=self._constraints(),
            indexes=self._indexes(),
            triggers=self._triggers(),
            dependents=(*self._dependents(), *self._mentions()),
            rows=rows if rows >= 0 else None,
            bytes=int(str(relation["bytes"])),
            partitioned=kind == "p",
            partition_of=_text(relation["partition_of"]),
            inherits=bool(relation["inherits"]),
            published=tuple(_names(relation["published"])),
            server_version=self._connection.info.server_version,
            source="database",
            referenced_by=tuple(
                QualifiedName(name, schema) for schema, name in map(_names, _list(relation["referenced_by"]))
            ),
            owner=str(relation["owner"]),
            grants=tuple(
                (str(row["privilege"]), str(row["grantee"]), bool(row["grantable"]))
                for row in self._rows(_TABLE_GRANTS)
            ),
            comment=_text(relation["comment"]),
            row_security=bool(relation["row_security"]),
            partitions=tuple(
                QualifiedName(name, schema) for schema, name in map(_names, _list(relation["partitions"]))
            ),
            forced_row_security=bool(relation["forced_row_security"]),
        )

    def _columns(self) -> tuple[TargetColumn, ...]:
        grants: dict[str, list[tuple[str, str, bool]]] = {}
        for row in self._rows(_GRANTS):
            grants.setdefault(str(row["column"]), []).append(
                (str(row["privilege"]), str(row["grantee"]), bool(row["grantable"]))
            )
        return tuple(
            TargetColumn(
                str(row["name"]),
                str(row["type"]),
                not_null=bool(row["not_null"]),
                default=None if row["generated"] else _text(row["default"]),
                default_constant=bool(row["generated"]) or _constant(_text(row["default"])),
                collation=_text(row["collation"]),
                enum=bool(row["enum"]),
                identity=bool(row["identity"]),
                generated=bool(row["generated"]),
                comment=_text(row["comment"]),
                grants=tuple(grants.get(str(row["name"]), ())),
                sequence=_qualified(row["sequence"]),
                always=bool(row["always"]),
                generation=_text(row["default"]) if row["generated"] else None,
                virtual=bool(row["virtual"]),
            )
            for row in self._rows(_COLUMNS)
        )

    def _constraints(self) -> tuple[TargetConstraint, ...]:
        return tuple(
            TargetConstraint(
                str(row["name"]),
                _KINDS[str(row["kind"])],
                str(row["definition"]),
                tuple(_names(row["columns"])),
                validated=bool(row["validated"]),
                index=_text(row["index"]),
            )
            for row in self._rows(_CONSTRAINTS)
            if str(row["kind"]) in _KINDS
        )

    def _indexes(self) -> tuple[TargetIndex, ...]:
        return tuple(
            TargetIndex(
                str(row["name"]),
                str(row["definition"]),
                tuple(_names(row["columns"])),
                unique=bool(row["unique"]),
                valid=bool(row["valid"]),
                constraint=_text(row["constraint"]),
            )
            for row in self._rows(_INDEXES)
        )

    def _triggers(self) -> tuple[TargetTrigger, ...]:
        return tuple(
            TargetTrigger(str(row["name"]), bool(row["before_row"])) for row in self._rows(_TRIGGERS)
        )

    def _dependents(self) -> list[Dependent]:
        return [
            Dependent(str(row["column"]), _kind(str(row["kind"])), str(row["description"]))
            for row in self._rows(_DEPENDENTS)
        ]

    def _mentions(self) -> list[Dependent]:
        """Columns that the source of a trigger's function names: PostgreSQL records no dependency for those."""
        return [
            Dependent(
                str(row["column"]),
                "trigger function",
                f'function "{row["function"]}", which trigger "{row["trigger"]}" calls',
            )
            for row in self._rows(_MENTIONS)
        ]


def _kind(text: str) -> DependentKind:
    kinds: dict[str, DependentKind] = {
        "view": "view",
        "generated column": "generated column",
        "partition key": "partition key",
        "publication": "publication",
        "policy": "policy",
        "trigger": "trigger",
        "statistics": "statistics",
        "function": "function",
        "inbound foreign key": "inbound foreign key",
        "sequence": "sequence",
    }
    return kinds.get(text, "other")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _qualified(value: object) -> QualifiedName | None:
    """A name from its schema and itself."""
    match _names(value):
        case [schema, name]:
            return QualifiedName(name, schema)
        case _:
            return None


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _constant(default: str | None) -> bool:
    if default is None:
        return True
    try:
        return expression(default).constant
    except ExpressionNotRead:
        return False


_RELATION = sql.SQL("""
    SELECT c.oid, c.relkind::text, c.reltuples::bigint, pg_table_size(c.oid) AS bytes,
        (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid AND c.relispartition)
            AS partition_of,
        c.relkind = 'r' AND NOT c.relispartition
            AND EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) AS inherits,
        ARRAY(SELECT pubname::text FROM pg_publication_tables
            WHERE schemaname = n.nspname AND tablename = c.relname ORDER BY 1) AS published,
        ARRAY(SELECT DISTINCT ARRAY[fn.nspname::text, fc.relname::text] FROM pg_constraint f
            JOIN pg_class fc ON fc.oid = f.conrelid JOIN pg_namespace fn ON fn.oid = fc.relnamespace
            WHERE f.confrelid = c.oid AND f.contype = 'f' AND f.conparentid = 0 ORDER BY 1) AS referenced_by,
        pg_get_userbyid(c.relowner)::text AS owner, obj_description(c.oid, 'pg_class') AS comment,
        c.relrowsecurity AS row_security, c.relrowsecurity AND c.relforcerowsecurity AS forced_row_security,
        ARRAY(SELECT ARRAY[pn.nspname::text, p.relname::text] FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhrelid
            JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhparent = c.oid AND c.relkind = 'p' ORDER BY 1)
            AS partitions
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s
""")

_NEAR = sql.SQL("""
    SELECT CASE WHEN n.nspname = 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END AS relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'evolve')
        AND (lower(c.relname) = lower(%(name)s)
            OR c.relname IN (%(name)s || 's', regexp_replace(%(name)s, 's$', '')))
    ORDER BY n.nspname <> %(schema)s LIMIT 1
""")

_COLUMNS = sql.SQL("""
    SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
        pg_get_expr(d.adbin, d.adrelid) AS default,
        CASE WHEN a.attcollation <> t.typcollation THEN
            (SELECT quote_ident(n.nspname) || '.' || quote_ident(o.collname)
                FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE o.oid = a.attcollation)
        END AS collation,
        t.typtype = 'e' AS enum, a.attidentity <> '' AS identity, a.attgenerated <> '' AS generated,
        a.attgenerated = 'v' AS virtual,
        a.attidentity = 'a' AS always,
        (SELECT ARRAY[sn.nspname::text, s.relname::text] FROM pg_class s
            JOIN pg_namespace sn ON sn.oid = s.relnamespace JOIN pg_depend x ON s.relkind = 'S' AND (
                (x.classid, x.objid, x.refobjid) = ('pg_class'::regclass, s.oid, a.attrelid)
                    AND x.refobjsubid = a.attnum AND x.deptype = 'i'
                OR (x.classid, x.objid, x.refobjid) = ('pg_attrdef'::regclass, d.oid, s.oid))
            LIMIT 1) AS sequence,
        col_description(a.attrelid, a.attnum) AS comment
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
""")

_GRANTS = sql.SQL("""
    SELECT a.attname::text AS column, x.privilege_type AS privilege, x.is_grantable AS grantable,
        CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END AS grantee
    FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) x
    WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY 1, 4, 2
""")

_TABLE_GRANTS = sql.SQL("""
    SELECT x.privilege_type AS privilege, x.is_grantable AS grantable,
        CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END AS grantee
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) x
    WHERE c.oid = %(oid)s AND x.grantee <> c.relowner
    ORDER BY 3, 1
""")

# From PostgreSQL 18 on NOT NULL is listed here too; `TargetColumn.not_null` says it already.
_CONSTRAINTS = sql.SQL("""
    SELECT c.conname::text AS name, c.contype::text AS kind, pg_get_constraintdef(c.oid) AS definition,
        c.convalidated AS validated, i.relname::text AS index,
        ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(num, place)
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num ORDER BY k.place) AS columns
    FROM pg_constraint c LEFT JOIN pg_class i ON i.oid = c.conindid AND c.contype <> 'f'
    WHERE c.conrelid = %(oid)s
    ORDER BY c.conname
""")

# indkey holds 0 for an expression; what expressions and predicates read is in pg_depend.
_INDEXES = sql.SQL("""
    SELECT c.relname::text AS name, pg_get_indexdef(i.indexrelid) AS definition, i.indisunique AS unique,
        i.indisvalid AS valid, o.conname::text AS constraint,
        ARRAY(SELECT a.attname::text FROM pg_attribute a
            LEFT JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k(num, place) ON k.num = a.attnum
            WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND (k.num IS NOT NULL OR EXISTS (
                SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                    AND d.refobjsubid = a.attnum))
            ORDER BY k.place, a.attnum) AS columns
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    LEFT JOIN pg_constraint o ON o.conindid = i.indexrelid AND o.conrelid = i.indrelid
        AND o.contype IN ('p', 'u', 'x')
    WHERE i.indrelid = %(oid)s
    ORDER BY c.relname
""")

# tgtype: 1 row, 2 before
_TRIGGERS = sql.SQL("""
    SELECT tgname::text AS name, tgtype & 3 = 3 AS before_row
    FROM pg_trigger WHERE tgrelid = %(oid)s AND NOT tgisinternal
    ORDER BY tgname
""")

_DEPENDENTS = sql.SQL("""
    WITH used AS (
        SELECT a.attname::text AS column, a.attnum, d.classid, d.objid, d.objsubid, d.deptype
        FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s AND d.refobjsubid > 0
    )
    SELECT u.column, 'view' AS kind,
        CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || v.oid::regclass AS description
    FROM used u JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND r.oid = u.objid
    JOIN pg_class v ON v.oid = r.ev_class WHERE v.relkind IN ('v', 'm')
    UNION SELECT u.column, 'other', 'rule "' || r.rulename || '"'
    FROM used u JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND r.oid = u.objid
    JOIN pg_class v ON v.oid = r.ev_class WHERE v.relkind NOT IN ('v', 'm')
    UNION SELECT u.column, 'generated column', 'generated column "' || g.attname || '"'
    FROM used u JOIN pg_attrdef e ON u.classid = 'pg_attrdef'::regclass AND e.oid = u.objid
    JOIN pg_attribute g ON g.attrelid = e.adrelid AND g.attnum = e.adnum AND g.attgenerated <> ''
    WHERE (e.adrelid, e.adnum) <> (%(oid)s, u.attnum)
    UNION SELECT u.column, 'generated column', 'generated column "' || g.attname || '"'  -- as PostgreSQL 14 keeps it
    FROM used u JOIN pg_attribute g ON u.classid = 'pg_class'::regclass AND u.objid = %(oid)s
        AND g.attrelid = u.objid AND g.attnum = u.objsubid AND g.attgenerated <> ''
    UNION SELECT u.column, 'policy', 'row security policy "' || p.polname || '"'
    FROM used u JOIN pg_policy p ON u.classid = 'pg_policy'::regclass AND p.oid = u.objid
    UNION SELECT u.column, 'publication', pg_describe_object(u.classid, u.objid, u.objsubid)
    FROM used u WHERE u.classid = 'pg_publication_rel'::regclass
    UNION SELECT u.column, 'trigger', 'trigger "' || t.tgname || '"'
    FROM used u JOIN pg_trigger t ON u.classid = 'pg_trigger'::regclass AND t.oid = u.objid
    UNION SELECT u.column, 'statistics', 'extended statistics "' || s.stxname || '"'
    FROM used u JOIN pg_statistic_ext s ON u.classid = 'pg_statistic_ext'::regclass AND s.oid = u.objid
    UNION SELECT u.column, 'function', pg_describe_object(u.classid, u.objid, u.objsubid)
    FROM used u WHERE u.classid = 'pg_proc'::regclass
    UNION SELECT u.column, 'sequence', 'sequence "' || s.relname || '"'
    FROM used u JOIN pg_class s ON u.classid = 'pg_class'::regclass AND s.oid = u.objid AND s.relkind = 'S'
    UNION SELECT a.attname::text, 'inbound foreign key',
        'foreign key "' || f.conname || '" of ' || f.conrelid::regclass
    FROM pg_constraint f JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = ANY (f.confkey)
    WHERE f.contype = 'f' AND f.confrelid = %(oid)s
    UNION SELECT a.attname::text, 'other', 'the replica identity of the table'
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = %(oid)s AND i.indisreplident
    ORDER BY 1, 2, 3
""")

_MENTIONS = sql.SQL(r"""
    SELECT a.attname::text AS column, t.tgname::text AS trigger, p.oid::regproc::text AS function
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang
    JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE t.tgrelid = %(oid)s AND NOT t.tgisinternal AND l.lanname NOT IN ('internal', 'c')
        AND n.nspname <> 'evolve'
        AND p.prosrc ~* ('\m' || regexp_replace(a.attname, '([^[:alnum:]_])', '\\\1', 'g') || '\M')
    ORDER BY 1, 2
""")
