"""What a server says of a partitioned table's health: default partition, indexes, statistics, odd partitions.

Nothing here locks a partition: a table may have more of them than the server has room for locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from psycopg import sql

from evolve.partition.health import Found
from evolve.partition.maintain import Template
from evolve.postgres.connect import Connection
from evolve.postgres.retiring import Attached
from evolve.sql.names import QualifiedName

_COUNTED = 100_000  # rows of a default partition; beyond that the number changes nothing

# ACCESS SHARE on catalogs only.
_INVALID = """
    WITH RECURSIVE tree AS (
        SELECT %(table)s::regclass::oid AS oid
         UNION ALL SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid)
    SELECT format('%%I.%%I', n.nspname, x.relname)
      FROM tree JOIN pg_index AS i ON i.indrelid = tree.oid
      JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = x.relnamespace
     WHERE NOT (i.indisvalid AND i.indisready) ORDER BY 1
"""

# ACCESS SHARE on catalogs only.
_ROWS = """
    WITH RECURSIVE tree AS (
        SELECT %(table)s::regclass::oid AS oid
         UNION ALL SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid)
    SELECT (SELECT reltuples FROM pg_class WHERE oid = %(table)s::regclass)::bigint,
           coalesce(sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind <> 'p'), 0)::bigint
      FROM tree JOIN pg_class AS c ON c.oid = tree.oid
"""


def read_found(
    connection: Connection,
    table: QualifiedName,
    template: Template,
    attached: Sequence[Attached],
    default: str | None,
    fresh: Sequence[str],
) -> Found:
    """All but what is expired and what the settings say.

    Args:
        template: what a new partition gets.
        default: name of the default partition.
        fresh: names of the partitions that rows of now or later come into; only those are compared with the template.
    """
    parent_rows, rows = _rows(connection, table)
    return Found(
        default=default,
        default_rows=0 if default is None else _count(connection, QualifiedName(default, table.schema)),
        pending=tuple(each.name for each in attached if each.pending),
        invalid=_invalid(connection, table),
        unlike=_unlike(connection, table, template, fresh),
        unmarked=tuple(each.name for each in attached if not each.ours),
        parent_rows=parent_rows,
        rows=rows,
    )


def _count(connection: Connection, table: QualifiedName) -> int:
    # ACCESS SHARE on the default partition: blocks nothing.
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS found").format(
            sql.Identifier(table.schema, table.name), sql.Literal(_COUNTED)
        )
    ).fetchone()
    return cast("int", row[0]) if row else 0


def _invalid(connection: Connection, table: QualifiedName) -> tuple[str, ...]:
    rows = connection.execute(_INVALID, {"table": table.full}).fetchall()
    return tuple(str(row[0]) for row in rows)


def _rows(connection: Connection, table: QualifiedName) -> tuple[int | None, int]:
    """Of the parent, None where it was never analyzed, and of all that hold rows."""
    row = connection.execute(_ROWS, {"table": table.full}).fetchone()
    if row is None:
        return None, 0
    parent, rows = cast("tuple[int, int]", row)
    return (None if parent < 0 else parent), rows


def _unlike(
    connection: Connection, table: QualifiedName, template: Template, fresh: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    rows = connection.execute(
        "SELECT c.relname::text, quote_ident(pg_get_userbyid(c.relowner)), coalesce(c.reloptions, '{}'), "
        "c.relreplident::text, (SELECT count(*) FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid "
        " WHERE i.indrelid = c.oid AND i.indisunique AND NOT x.relispartition) "
        "FROM pg_class AS c JOIN pg_inherits AS h ON h.inhrelid = c.oid "
        "WHERE h.inhparent = %s::regclass AND c.relkind = 'r' AND c.relname = ANY (%s) ORDER BY 1",
        (table.full, list(fresh)),
    ).fetchall()
    found = []
    for name, owner, options, identity, unique in rows:
        said = []
        if owner != template.owner:
            said.append(f"it belongs to {owner}, not {template.owner}")
        if sorted(cast("list[str]", options)) != sorted(template.options):
            own = _listed(cast("list[str]", options))
            said.append(f"its storage parameters are {own}, not {_listed(template.options)}")
        if identity != template.replica_identity:
            said.append("its replica identity is another")
        if unique != len(template.unique_indexes):
            said.append(f"it has {unique} unique indexes of its own, not {len(template.unique_indexes)}")
        if said:
            found.append((str(name), "; ".join(said)))
    return tuple(found)


def _listed(options: Sequence[str]) -> str:
    return ", ".join(sorted(options)) or "none"
