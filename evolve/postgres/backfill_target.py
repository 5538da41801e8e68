"""Facts about the table of a backfill, and everything that is refused before a row or the journal is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from evolve.backfill.keyset import (
    PLACE,
    KeyColumn,
    NeedsPredicate,
    NoOrder,
    OnlyInPlace,
    UniqueIndex,
    choose_key,
)
from evolve.backfill.ports import Leaf
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Transform
from evolve.backfill.works import Delete, InsertSelect, JoinedUpdate, Update
from evolve.errors import Misuse, Refused
from evolve.postgres.composing import identifier, table_name, type_name
from evolve.postgres.connect import Connection
from evolve.postgres.drift import mark_of
from evolve.postgres.key_indexes import read_indexes
from evolve.sql.names import QualifiedName

CORRELATED = 0.9  # an index in nearly the order of the table keeps its leaf pages hot: nothing to gain there


class NoSuchTable(Misuse):
    def __init__(self, table: QualifiedName, near: Sequence[str]) -> None:
        super().__init__(
            f'there is no table "{table.plain}"',
            why=f"tables with a like name: {', '.join(near)}" if near else None,
            fix="write it as table.column or schema.table.column; check the database in --database-url",
        )


class NotATable(Misuse):
    def __init__(self, table: QualifiedName, kind: str) -> None:
        super().__init__(
            f'"{table.plain}" is {kind}',
            why="a backfill updates rows by key, in place",
            fix="name the table that holds the rows",
        )


class NoSuchColumn(Misuse):
    def __init__(self, table: QualifiedName, column: str, known: Sequence[str]) -> None:
        super().__init__(
            f'table "{table.plain}" has no column "{column}"', fix=f"name one of: {', '.join(known)}"
        )


class BadTarget(Misuse):
    def __init__(self, table: QualifiedName, column: str, reason: str, fix: str) -> None:
        super().__init__(f'column "{table.plain}.{column}" cannot be backfilled: {reason}', fix=fix)


class BadExpression(Misuse):
    def __init__(self, part: str, text: str, reason: str) -> None:
        super().__init__(
            f"{part} {text!r} does not work: {reason}",
            why="it was tried on the server and rolled back; no row was written",
            fix="mend the expression; it may read any column of the row",
        )


class MayNot(Refused):
    def __init__(self, table: QualifiedName, role: str, missing: str) -> None:
        super().__init__(
            f'role "{role}" lacks {missing} on "{table.plain}"',
            fix=f'GRANT {missing} ON {table} TO "{role}"',
        )


class RewrittenByRule(Misuse):
    def __init__(self, table: QualifiedName, rule: str, event: str) -> None:
        super().__init__(
            f'table "{table.plain}" has a rule ON {event}: "{rule}"',
            why="it makes something else of a batch than the specification says, or does it twice",
            fix=f'make it a trigger, or for the time being: ALTER TABLE {table} DISABLE RULE "{rule}"',
        )


class RowSecurity(Refused):
    def __init__(self, table: QualifiedName, role: str) -> None:
        super().__init__(
            f'row security hides rows of "{table.plain}" from role "{role}"',
            why="rows it cannot see would be left out without a word",
            fix="run as a role with BYPASSRLS, or as the owner of the table where its policies are not forced upon it",
        )


class KeyNotAlone(Misuse):
    def __init__(self, spec: Spec) -> None:
        function = isinstance(spec.work, Transform)
        super().__init__(
            f'rows of "{spec.table.plain}" and of the tables that inherit from it may have the same key',
            why="what a function computes finds its row by the key"
            if function
            else "old values find their rows by the key when they are given back",
            fix="say it as an expression (--set), or partition the table"
            if function
            else "go without a way back: --undo-journal off",
        )


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column that is written.

    Args:
        as_text: a journal keeps its values as text: those of an array, since arrays of different lengths cannot be put
            into one; those of an enumeration, since its type could not be dropped while a journal is of it.
        number: by which the catalog knows it; one that is dropped and made again has another.
    """

    name: str
    type: str
    as_text: bool
    number: int


@dataclass(frozen=True, slots=True)
class Target:
    """
    Args:
        columns: those that are assigned, in the order of the specification.
        index: name of the index that is walked.
        touched: indexed columns to assign to themselves, which spares PostgreSQL 14+ a futile search for dead index
            entries on every leaf page of an index in random order.
        sliced: a window of keys may be written in several commits, see `shapes`.
        rows_estimate: by the statistics; None where there are none.
        pages: of the table and its partitions.
        plain_sql: assign nothing but the specification's own columns, and write each stretch of keys in one commit.
        leaves: the partitions to walk one after the other; none where the table is walked as a whole.
        mark: see `drift.mark`, as it was when this was read.
        collations: of the key's columns, by number.
        called: what the specification calls a leaf: its expressions know the table above it.
        returns_old: an UPDATE can return what it replaced (PostgreSQL 18).
        inherited: other tables inherit from it: their rows are walked with its own, and may have the same keys.
        event: what is done to its rows; None: they are only read.
        locks: rows that are only read are locked FOR SHARE.
    """

    table: QualifiedName
    oid: int
    columns: tuple[TargetColumn, ...]
    index: str
    key: tuple[KeyColumn, ...]
    touched: tuple[str, ...]
    sliced: bool
    rows_estimate: int | None
    pages: int
    plain_sql: bool = False
    leaves: tuple[Leaf, ...] = ()
    mark: str = ""
    collations: tuple[int, ...] = ()
    called: QualifiedName | None = None
    returns_old: bool = False
    inherited: bool = False
    event: Literal["UPDATE", "DELETE"] | None = "UPDATE"
    locks: bool = False

    @property
    def source(self) -> sql.Composable:
        """What follows UPDATE and FROM."""
        name = table_name(self.table)
        return name if self.called is None else sql.SQL("{} AS {}").format(name, identifier(self.called.name))

    @property
    def reference(self) -> sql.SQL:
        """What stands before its columns where another table's are in sight."""
        return table_name(self.table) if self.called is None else identifier(self.called.name)

    @property
    def by_block(self) -> bool:
        """It is walked by the places of its rows, for want of a key."""
        return self.key[0].name == PLACE.name


@dataclass(frozen=True, slots=True)
class _Table:
    oid: int
    kind: str
    partition: bool
    inherited: bool
    rows: float
    pages: int
    secured: bool
    readable: bool
    role: str


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    generated: str
    identity: str
    writable: bool
    as_text: bool
    collation: int
    number: int


def read_target(
    connection: Connection, spec: Spec, *, plain_sql: bool = False, newest_first: bool = False
) -> Target:
    """Read the catalog and refuse what cannot work.

    Args:
        plain_sql: assign nothing but the specification's own columns, and write each stretch of keys in one commit.
        newest_first: walk from the greatest key down.

    Raises:
        NoSuchTable, NotATable, NoSuchColumn, BadTarget, NoKey, UnusableKey, NeedsPredicate, NoOrder, OnlyInPlace,
            KeyNotAlone, RewrittenByRule: the specification does not fit the table.
        MayNot, RowSecurity: the role cannot do it.
    """
    table = read_table(connection, spec.table)
    columns = read_columns(connection, table.oid)
    assigned = tuple(_assigned(spec, columns, name) for name in spec.columns)
    for name in spec.work.reads if isinstance(spec.work, Transform) else ():
        if name not in columns:
            raise NoSuchColumn(spec.table, name, list(columns))
    # Read first: what is done to the table from here on moves it.
    seen = mark_of(connection, spec.table, table.oid)
    index = _index(connection, spec, table.oid, newest_first=newest_first)
    event: Literal["UPDATE", "DELETE"] | None = "UPDATE"
    if isinstance(spec.work, Delete | InsertSelect):
        event = "DELETE" if isinstance(spec.work, Delete) else None
    if event is not None:
        refuse_rules(connection, spec.table, table.oid, event)
    key = tuple(replace(column, falling=newest_first) for column in index.columns)
    key_names = {column.name for column in index.columns}
    for column in assigned:
        if column.name in key_names:
            raise BadTarget(
                spec.table,
                column.name,
                f"it is part of the key ({', '.join(c.name for c in index.columns)}) that is walked",
                "walk another unique key with --key",
            )
    if table.inherited and isinstance(spec.work, Transform) and spec.work.writes:
        raise KeyNotAlone(spec)
    if table.secured:
        raise RowSecurity(spec.table, table.role)
    if not table.readable:
        raise MayNot(spec.table, table.role, "SELECT")
    for column in assigned:
        if not columns[column.name].writable:
            raise MayNot(spec.table, table.role, "UPDATE")
    touched: tuple[str, ...] = ()
    if assigned and not plain_sql and table.kind == "r" and not table.partition:
        touched = touched_columns(connection, table.oid, [column.name for column in assigned])
    return Target(
        table=spec.table,
        oid=table.oid,
        columns=assigned,
        index=index.name,
        key=key,
        touched=touched,
        sliced=bool(assigned) and not plain_sql and _hashable(connection, key),
        rows_estimate=int(table.rows) if table.rows > 0 else None,
        pages=table.pages,
        plain_sql=plain_sql,
        mark=seen,
        collations=tuple(columns[column.name].collation for column in key if column != PLACE),
        returns_old=connection.info.server_version >= 180_000,
        inherited=table.inherited,
        event=event,
        locks=isinstance(spec.work, InsertSelect) and spec.work.lock,
    )


def _index(connection: Connection, spec: Spec, oid: int, *, newest_first: bool) -> UniqueIndex:
    if spec.key != (PLACE.name,):
        return choose_key(spec.table, read_indexes(connection, oid), spec.key)
    if spec.where is None:
        raise NeedsPredicate(spec.table)
    if newest_first:
        raise NoOrder(spec.table)
    if not isinstance(spec.work, Update | JoinedUpdate | Delete):
        raise OnlyInPlace(spec.table)
    return UniqueIndex(PLACE.name, (PLACE,), primary=False, not_null=True)


def _hashable(connection: Connection, key: tuple[KeyColumn, ...]) -> bool:
    """Rows can be told apart by a hash of their keys. Few types have none: money, bits; places have no use for it."""
    if key[0] == PLACE:
        return False
    nulls = sql.SQL(", ").join(sql.SQL("NULL::{}").format(type_name(column.type)) for column in key)
    try:
        # Reads no table. The types' hash functions are looked up before it is seen that there is no value.
        connection.execute(sql.SQL("SELECT hash_record(ROW({}))").format(nulls), {})
    except psycopg.errors.UndefinedFunction:
        return False
    return True


def refuse_rules(connection: Connection, table: QualifiedName, oid: int, event: str) -> None:
    """Refuse a table that has a rule for UPDATE or DELETE.

    Raises:
        RewrittenByRule
    """
    # AccessShare on catalogs only.
    row = connection.execute(
        "SELECT rulename::text FROM pg_rewrite WHERE ev_class = %s::oid AND ev_type = %s AND ev_enabled IN ('O', 'A')"
        " ORDER BY 1 LIMIT 1",
        (oid, {"UPDATE": "2", "DELETE": "4"}[event]),
    ).fetchone()
    if row is not None:
        raise RewrittenByRule(table, str(row[0]), event)


_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a composite type",
    "t": "a TOAST table",
}


def read_table(connection: Connection, name: QualifiedName, *, any_kind: bool = False) -> _Table:
    """
    Args:
        any_kind: a view or the like will do.

    Raises:
        NoSuchTable, NotATable.
    """
    with connection.cursor(row_factory=class_row(_Table)) as cursor:
        # AccessShare on catalogs only. Statistics of a partitioned table may be missing: its leaves are summed up.
        table = cursor.execute(
            """
            SELECT c.oid::bigint AS oid, c.relkind::text AS kind, c.relispartition AS partition,
                   c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS inherited,
                   (SELECT coalesce(sum(greatest(l.reltuples, 0)), 0)::float8 FROM pg_class l
                     WHERE l.oid = c.oid AND c.relkind <> 'p'
                        OR c.relkind = 'p' AND l.oid IN
                           (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)) AS rows,
                   (SELECT coalesce(sum(pg_relation_size(l.oid)) / current_setting('block_size')::int, 0)::bigint
                      FROM pg_class l
                     WHERE l.oid = c.oid AND c.relkind = 'r'
                        OR c.relkind = 'p' AND l.oid IN
                           (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)) AS pages,
                   row_security_active(c.oid) AS secured, has_table_privilege(c.oid, 'SELECT') AS readable,
                   current_user::text AS role
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = %s AND c.relname = %s
            """,
            (name.schema, name.name),
        ).fetchone()
    if table is None:
        # AccessShare on catalogs only.
        near = connection.execute(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'"
            " AND (c.relname = %(n)s OR c.relname ILIKE '%%' || %(n)s || '%%' OR %(n)s ILIKE '%%' || c.relname || '%%')"
            " ORDER BY 1 LIMIT 5",
            {"n": name.name},
        ).fetchall()
        raise NoSuchTable(name, [str(row[0]) for row in near])
    if table.kind not in (("r", "p", "v", "m", "f") if any_kind else ("r", "p")):
        raise NotATable(name, _KINDS.get(table.kind, f'a relation of kind "{table.kind}"'))
    return table


def read_columns(connection: Connection, oid: int) -> dict[str, _Column]:
    with connection.cursor(row_factory=class_row(_Column)) as cursor:
        # AccessShare on catalogs only.
        rows = cursor.execute(
            """
            SELECT a.attname::text AS name, format_type(a.atttypid, -1) AS type, a.attgenerated::text AS generated,
                   a.attidentity::text AS identity, has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS writable,
                   coalesce((SELECT b.typcategory IN ('A', 'E') FROM pg_type b
                              WHERE b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END), false)
                       AS as_text, a.attcollation::bigint AS collation, a.attnum::integer AS number
              FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
             WHERE a.attrelid = %s::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
            """,
            (oid,),
        ).fetchall()
    return {row.name: row for row in rows}


def _assigned(spec: Spec, columns: dict[str, _Column], name: str) -> TargetColumn:
    column = columns.get(name)
    if column is None:
        raise NoSuchColumn(spec.table, name, list(columns))
    if column.generated:
        raise BadTarget(
            spec.table, name, "PostgreSQL generates it", "backfill the columns its expression reads instead"
        )
    if column.identity == "a":
        raise BadTarget(
            spec.table, name, "it is GENERATED ALWAYS AS IDENTITY", "alter it to BY DEFAULT first"
        )
    return TargetColumn(column.name, column.type, column.as_text, column.number)


def touched_columns(connection: Connection, oid: int, assigned: list[str]) -> tuple[str, ...]:
    """One column of each plain b-tree index that an UPDATE would otherwise mark as unchanged.

    Left out: generated and identity columns; columns with an `UPDATE OF` trigger, which would fire; columns of unique
    indexes where a row-level BEFORE UPDATE trigger makes the row lock stronger; columns the role may not write; indexes
    in nearly the table's own order.
    """
    # AccessShare on catalogs only.
    rows = connection.execute(
        """
        WITH plain AS (
            SELECT x.indexrelid, a.attname, a.attnum, n
              FROM pg_index x
              JOIN pg_class i ON i.oid = x.indexrelid
              JOIN pg_am m ON m.oid = i.relam AND m.amname = 'btree'
             CROSS JOIN LATERAL generate_series(0, x.indnkeyatts - 1) AS n
              JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[n]
             WHERE x.indrelid = %(oid)s::oid AND NOT x.indisprimary AND x.indisready AND x.indpred IS NULL
               AND x.indexprs IS NULL
               AND NOT EXISTS (SELECT FROM pg_attribute s WHERE s.attrelid = x.indrelid
                                AND s.attnum = ANY (x.indkey) AND s.attname = ANY (%(assigned)s)))
        SELECT DISTINCT ON (p.indexrelid) p.attname::text
          FROM plain p
          JOIN pg_attribute a ON a.attrelid = %(oid)s::oid AND a.attnum = p.attnum
          JOIN pg_class c ON c.oid = a.attrelid
          JOIN pg_namespace ns ON ns.oid = c.relnamespace
         WHERE a.attgenerated = '' AND a.attidentity = ''
           AND has_column_privilege(a.attrelid, a.attnum, 'UPDATE')
           AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = a.attrelid AND NOT t.tgisinternal
                            AND a.attnum = ANY (t.tgattr))
           AND NOT (EXISTS (SELECT FROM pg_index u WHERE u.indrelid = a.attrelid AND u.indisunique
                             AND a.attnum = ANY (u.indkey))
                    AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = a.attrelid AND NOT t.tgisinternal
                                 AND t.tgtype::int & 19 = 19))
           AND NOT EXISTS (SELECT FROM pg_stats s, plain f
                            WHERE f.indexrelid = p.indexrelid AND f.n = 0 AND s.schemaname = ns.nspname
                              AND s.tablename = c.relname AND s.attname = f.attname
                              AND abs(s.correlation) >= %(correlated)s)
         ORDER BY p.indexrelid, p.n
        """,
        {"oid": oid, "assigned": assigned, "correlated": CORRELATED},
    ).fetchall()
    return tuple(sorted({str(row[0]) for row in rows}))
