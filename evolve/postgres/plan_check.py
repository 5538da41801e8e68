"""Does the server read the rows of a batch by an index? A plan that does not is refused."""

from __future__ import annotations

import json

from psycopg import sql

from evolve.backfill.ports import Piece
from evolve.backfill.spec import Spec
from evolve.backfill.works import JoinedUpdate
from evolve.errors import Refused
from evolve.postgres.backfill_target import Target
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import cut_of, piece_values
from evolve.postgres.statements import from_clause, rows_of_work
from evolve.sql.names import QualifiedName

FEW = 100  # pages of one of several tables that are read whole without a word
SMALL = 1_000  # pages (8 MB): reading such a table whole is no harm, and the planner may well prefer it


class PlanIgnoresKey(Refused):
    def __init__(self, target: Target, statement: str, table: QualifiedName, node: str) -> None:
        index = f' by the key\'s index "{target.index}"' if table == target.table else " by an index"
        super().__init__(
            f'the {statement} would read "{table.plain}" by {node}, not{index}',
            why="every batch would read far more than its own rows",
            fix=f"ANALYZE {table} and try again; a --where that another index serves may need rewriting",
        )


def check_plan(
    connection: Connection,
    spec: Spec,
    target: Target,
    statement: str,
    query: bytes,
    values: dict[str, object],
) -> None:
    """
    Raises:
        PlanIgnoresKey: a table that is not small would be read without bounds from an index.
    """
    # What inherits from it without being a part of it is walked as well, and may have no index.
    own = max(target.pages, _pages(connection, target.table)) if target.inherited else target.pages
    large = {target.table: _leaves(connection, target.table)} if own > SMALL else {}
    if isinstance(spec.work, JoinedUpdate) and _pages(connection, spec.work.source) > SMALL:
        large[spec.work.source] = _leaves(connection, spec.work.source)
    _check(connection, target, statement, query, values, large)


def check_rows(connection: Connection, spec: Spec, target: Target, piece: Piece) -> None:
    """Look whether the rows of a piece would be found by the key, with the sizes and statistics of this moment.

    Asked when a batch took far too long: an index of the predicate alone does not do then.

    Raises:
        PlanIgnoresKey
    """
    if _pages(connection, target.table) <= SMALL:
        return
    query = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} WHERE {}").format(
        from_clause(spec, target), rows_of_work(spec, target, cut_of(piece))
    )
    # AccessShare; it is not run.
    plan = _plan(connection, query.as_bytes(), piece_values(piece))
    leaves = _leaves(connection, target.table)
    bad = None if plan is None else _not_by(plan, target.key[0].name, leaves)
    if bad is not None:
        raise PlanIgnoresKey(target, "batch", target.table, bad)


def _check(
    connection: Connection,
    target: Target,
    statement: str,
    query: bytes,
    values: dict[str, object],
    large: dict[QualifiedName, set[str]],
) -> None:
    """
    Args:
        large: tables that must not be read whole, each with its partitions.
    """
    if not large:
        return
    plan = _plan(connection, b"EXPLAIN (FORMAT JSON) " + query, values)
    if plan is None:
        return
    for table, leaves in large.items():
        bad = _reads_all(plan, leaves)
        if bad is not None:
            raise PlanIgnoresKey(target, statement, table, bad)


def _plan(connection: Connection, query: bytes, values: dict[str, object]) -> dict[str, object] | None:
    row = connection.execute(query, values).fetchone()
    if row is None:
        return None
    document = row[0] if isinstance(row[0], list) else json.loads(str(row[0]))
    plan: dict[str, object] = document[0]["Plan"]
    return plan


def _not_by(node: dict[str, object], column: str, tables: set[str]) -> str | None:
    """The first node that reads one of `tables` without bounds on `column`; None where all have them."""
    children = node.get("Plans", [])
    below = children if isinstance(children, list) else []
    if node.get("Relation Name") not in tables:
        return next((bad for each in below if (bad := _not_by(each, column, tables)) is not None), None)
    if column in _bounds(node):
        return None
    kind, index = str(node["Node Type"]).lower(), node.get("Index Name")
    return f'{kind} of "{index}"' if index else f"a {kind}"


def _bounds(node: dict[str, object]) -> str:
    """What the indexes are asked for below a node; a bitmap takes it from several."""
    children = node.get("Plans", [])
    below = " ".join(_bounds(each) for each in children) if isinstance(children, list) else ""
    return f"{node.get('Index Cond', '')} {node.get('TID Cond', '')} {below}"


# A table with all that are parts of it or inherit from it.
_BELOW = sql.SQL(
    "WITH RECURSIVE below AS (SELECT %(name)s::regclass::oid AS oid UNION SELECT i.inhrelid FROM pg_inherits i"
    " JOIN below ON i.inhparent = below.oid) SELECT oid FROM below"
)


def _leaves(connection: Connection, table: QualifiedName) -> set[str]:
    """The table, or those of its parts that are worth an index."""
    return {
        str(row[0])
        for row in connection.execute(
            # AccessShare on catalogs only.
            sql.SQL(
                "SELECT c.relname FROM pg_class c WHERE c.oid IN ({}) AND (c.oid = %(name)s::regclass"
                " AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) OR pg_relation_size(c.oid)"
                " > %(few)s * current_setting('block_size')::bigint)"
            ).format(_BELOW),
            {"name": table.full, "few": FEW},
        )
    }


def _pages(connection: Connection, table: QualifiedName) -> int:
    row = connection.execute(
        # AccessShare on catalogs only, and the sizes of files.
        sql.SQL(
            "SELECT (coalesce(sum(pg_relation_size(c.oid)), 0) / current_setting('block_size')::int)::bigint"
            " FROM pg_class c WHERE c.relkind IN ('r', 'm') AND c.oid IN ({})"
        ).format(_BELOW),
        {"name": table.full},
    ).fetchone()
    return int(str(row[0])) if row else 0


def _reads_all(node: dict[str, object], tables: set[str]) -> str | None:
    """The first node that reads one of `tables` without bounds from an index; None where all have them."""
    kind = str(node["Node Type"])
    children = node.get("Plans", [])
    if node.get("Relation Name") in tables:
        if kind == "Seq Scan":
            return "a sequential scan"
        if kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node:
            return f'the whole index "{node.get("Index Name")}"'
        if kind == "Bitmap Heap Scan" and not _bounds(node).strip():
            return "the whole of a partial index"
    if isinstance(children, list):
        for child in children:
            found = _reads_all(child, tables)
            if found is not None:
                return found
    return None
