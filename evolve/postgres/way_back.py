"""Rows on which a partitioned table and the one it was differ, though a swap back was to lose none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString, cast

from psycopg import sql

from evolve.postgres.connect import Connection
from evolve.sql.names import QualifiedName

# Of $table, whatever made them; not pg_partition_tree(), which locks every partition.
_LEAVES = """
    WITH RECURSIVE tree AS (
        SELECT to_regclass(%(table)s)::oid AS oid
         UNION ALL SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid)
    SELECT c.oid, n.nspname, c.relname
      FROM tree JOIN pg_class AS c USING (oid) JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind <> 'p'
"""


def rows_beside(connection: Connection, table: QualifiedName, old: int) -> str | None:
    """A partition of `table` that holds rows, as SQL; None where all are in the one that was the table itself.

    Args:
        old: the oid of that one.
    """
    # ACCESS SHARE on catalogs only.
    leaves = connection.execute(
        f"{_LEAVES} AND c.oid <> %(old)s ORDER BY n.nspname, c.relname", {"table": table.full, "old": old}
    ).fetchall()
    for _, schema, name in leaves:
        leaf = QualifiedName(str(name), str(schema))
        # ACCESS SHARE on the partition for the time of one row.
        found = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(leaf.schema, leaf.name))
        if connection.execute(found).fetchone() == (True,):
            return leaf.full
    return None


def rows_emptied(
    connection: Connection, table: QualifiedName, old: QualifiedName, key: Sequence[str]
) -> list[tuple[QualifiedName, int]]:
    """Partitions that somebody emptied by TRUNCATE, which fires no trigger of the table, and what of them `old` holds.

    Reads `old` once for each partition whose file is not the first it had: TRUNCATE gives it a new one. So do VACUUM
    FULL and CLUSTER, which take away no row.

    Args:
        key: unique in both.
    """
    # ACCESS SHARE on catalogs only.
    leaves = connection.execute(
        f"{_LEAVES} AND c.relispartition AND c.relkind = 'r' AND c.relfilenode <> c.oid ORDER BY n.nspname, c.relname",
        {"table": table.full},
    ).fetchall()
    found = []
    same = sql.SQL(" AND ").join(sql.SQL("a.{0} = b.{0}").format(sql.Identifier(column)) for column in key)
    for oid, schema, name in leaves:
        leaf = QualifiedName(str(name), str(schema))
        # ACCESS SHARE on catalogs only.
        bound = connection.execute(
            "SELECT coalesce(pg_get_partition_constraintdef(%s), 'true')", (oid,)
        ).fetchone()
        # ACCESS SHARE on both: blocks nothing.
        row = connection.execute(
            sql.SQL(
                "SELECT count(*) FROM {} AS b WHERE ({}) AND NOT EXISTS (SELECT FROM {} AS a WHERE {})"
            ).format(
                sql.Identifier(old.schema, old.name),
                sql.SQL(cast("LiteralString", bound[0] if bound else "true")),
                sql.Identifier(leaf.schema, leaf.name),
                same,
            )
        ).fetchone()
        count = cast("int", row[0]) if row else 0
        if count:
            found.append((leaf, count))
    return found
