"""The partitions that hold the rows of a table: which there are, and the target that each of them is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from psycopg.rows import class_row

from evolve.backfill.ports import Leaf, Stretch
from evolve.errors import Misuse
from evolve.postgres.backfill_target import MayNot, RowSecurity, Target, refuse_rules, touched_columns
from evolve.postgres.connect import Connection
from evolve.postgres.drift import mark_of
from evolve.postgres.walking import cut, in_walking_order
from evolve.sql.names import QualifiedName


class ForeignPartition(Misuse):
    def __init__(self, table: QualifiedName, leaf: QualifiedName) -> None:
        super().__init__(
            f'partition "{leaf.plain}" of "{table.plain}" is a foreign table',
            why="its rows are in another database, and would not commit together with the run's cursor",
            fix="run the backfill where they are, and here on the other partitions, each by its name",
        )


class WholeTableOnly(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'"{table.plain}" cannot be walked by blocks: it has triggers FOR EACH STATEMENT',
            why="blocks are those of its partitions, and an UPDATE of a partition would not fire them",
            fix="walk a unique key, or name the partitions one by one",
        )


@dataclass(frozen=True, slots=True)
class _Row:
    oid: int
    schema: str
    name: str
    kind: str
    secured: bool
    readable: bool
    writable: bool
    rows: int | None
    pages: int
    role: str


def with_leaves(connection: Connection, target: Target) -> Target:
    """The same target, to be walked leaf by leaf where it is a partitioned table.

    One with triggers FOR EACH STATEMENT is walked as a whole: they fire for the table that a statement names.

    Raises:
        ForeignPartition, WholeTableOnly
        MayNot, RowSecurity: on a leaf, where the rights on the table above do not count.
    """
    rows = _read(connection, target)
    if rows is None:
        return target
    for row in rows:
        if row.kind == "f":
            raise ForeignPartition(target.table, QualifiedName(row.name, row.schema))
    if _fires_per_statement(connection, target):
        if target.by_block:
            raise WholeTableOnly(target.table)
        return target
    for row in rows:
        _check(row, target)
    leaves = tuple(Leaf(row.oid, QualifiedName(row.name, row.schema)) for row in rows)
    return replace(target, leaves=leaves)


def target_of(connection: Connection, target: Target, leaf: Leaf) -> Target | None:
    """What `target` is on one of its leaves, whatever that is called by now; None where it is none any more.

    Raises:
        MayNot, RowSecurity
    """
    row = next((row for row in _read(connection, target) or () if row.oid == leaf.oid), None)
    if row is None:
        return None
    _check(row, target)
    if target.event is not None:
        refuse_rules(connection, QualifiedName(row.name, row.schema), row.oid, target.event)
    part = _part(target, row)
    touched: tuple[str, ...] = ()
    if not target.plain_sql:
        touched = touched_columns(connection, row.oid, [column.name for column in target.columns])
    return replace(part, touched=touched, mark=mark_of(connection, part.table, row.oid))


def _part(target: Target, row: _Row) -> Target:
    """A leaf to look at: which of its columns are touched has not been read."""
    return replace(
        target,
        table=QualifiedName(row.name, row.schema),
        oid=row.oid,
        touched=(),
        rows_estimate=row.rows,
        pages=row.pages,
        leaves=(),
        called=target.table,
    )


def first_ground(connection: Connection, target: Target) -> Target:
    """Where a batch is tried beforehand: the largest leaf of a table that is walked leaf by leaf, else the table."""
    known = {leaf.oid: leaf for leaf in target.leaves}
    rows = [row for row in (_read(connection, target) if known else None) or () if row.oid in known]
    largest = max(rows, key=lambda row: row.pages, default=None)
    return target if largest is None else target_of(connection, target, known[largest.oid]) or target


def tables_of(connection: Connection, oid: int) -> list[QualifiedName]:
    """The tables that hold the rows of the one of that number; none where it is partitioned and has no leaf."""
    # AccessShare on catalogs only.
    rows = connection.execute(
        "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = %(oid)s::oid AND c.relkind <> 'p'"
        " OR c.oid IN (SELECT relid FROM pg_partition_tree(%(oid)s::oid) WHERE isleaf) ORDER BY c.oid",
        {"oid": oid},
    ).fetchall()
    return [QualifiedName(str(name), str(schema)) for schema, name in rows]


def cut_leaves(connection: Connection, target: Target, workers: int) -> list[Stretch]:
    """The ranges of a run in the order they are to be walked: of the table, or of its leaves one by one."""
    if not target.leaves:
        return cut(connection, target, workers)
    known = {leaf.oid: leaf for leaf in target.leaves}
    rows = [row for row in _read(connection, target) or () if row.oid in known]
    there = [(known[row.oid], _part(target, row)) for row in rows]
    return [
        stretch
        for leaf, each in in_walking_order(connection, there)
        for stretch in cut(connection, each, workers, leaf)
    ]


def is_partitioned(connection: Connection, oid: int) -> bool:
    # AccessShare on catalogs only.
    row = connection.execute("SELECT FROM pg_partitioned_table WHERE partrelid = %s::oid", (oid,)).fetchone()
    return row is not None


def _check(row: _Row, target: Target) -> None:
    name = QualifiedName(row.name, row.schema)
    if row.secured:
        raise RowSecurity(name, row.role)
    if not row.readable:
        raise MayNot(name, row.role, "SELECT")
    if not row.writable:
        raise MayNot(name, row.role, target.event or "UPDATE")


def _fires_per_statement(connection: Connection, target: Target) -> bool:
    # AccessShare on catalogs only. Bit 1 of the type stands for rows, 8 and 16 for DELETE and UPDATE.
    return connection.execute(
        "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %s::oid AND NOT tgisinternal"
        " AND tgtype::integer & 1 = 0 AND tgtype::integer & %s > 0 AND tgenabled <> 'D')",
        (target.oid, {"UPDATE": 16, "DELETE": 8, None: 0}[target.event]),
    ).fetchone() == (True,)


def _read(connection: Connection, target: Target) -> list[_Row] | None:
    """None where the table is not partitioned."""
    if not is_partitioned(connection, target.oid):
        return None
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        # AccessShare on the tables, for a moment.
        return cursor.execute(
            """
            SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
                   row_security_active(c.oid) AS secured, has_table_privilege(c.oid, 'SELECT') AS readable,
                   CASE WHEN %(event)s = 'DELETE' THEN has_table_privilege(c.oid, 'DELETE')
                        WHEN %(locks)s THEN has_any_column_privilege(c.oid, 'UPDATE')
                        ELSE coalesce((SELECT bool_and(has_column_privilege(c.oid, assigned, 'UPDATE'))
                                         FROM unnest(%(assigned)s::text[]) AS assigned), true) END AS writable,
                   nullif(greatest(c.reltuples, 0), 0)::bigint AS rows,
                   CASE WHEN c.relkind = 'r'
                        THEN pg_relation_size(c.oid) / current_setting('block_size')::integer ELSE 0 END AS pages,
                   current_user::text AS role
              FROM pg_partition_tree(%(oid)s::oid) AS part
              JOIN pg_class c ON c.oid = part.relid
              JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE part.isleaf ORDER BY c.oid
            """,
            {
                "oid": target.oid,
                "assigned": [column.name for column in target.columns],
                "event": target.event,
                "locks": target.locks,
            },
        ).fetchall()
