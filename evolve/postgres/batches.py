"""The statements of a batch: boundary, change, checkpoint; one transaction, one range of keys."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure, Lease, Piece, Want
from evolve.backfill.spec import Spec
from evolve.errors import Refused
from evolve.postgres import journal
from evolve.postgres.backfill_target import BadExpression, Target
from evolve.postgres.changing import Change, Preparing, update
from evolve.postgres.composing import identifier, table_name
from evolve.postgres.connect import Connection
from evolve.postgres.failure import message, translated
from evolve.postgres.pieces import Cut, key_text, key_values, keys_between, up_to
from evolve.postgres.session import Session

SMALL = 1_000  # pages (8 MB): reading such a table whole is no harm, and the planner may well prefer it
PROBE = 50  # rows of the probe


class PlanIgnoresKey(Refused):
    def __init__(self, target: Target, statement: str, node: str) -> None:
        super().__init__(
            f'the {statement} would read "{target.table.plain}" by {node}, not by the key\'s index "{target.index}"',
            why="every batch would read far more than its own rows",
            fix=f"ANALYZE {target.table} and try again; a --where that another index serves may need rewriting",
        )


class Walk:
    """What a run asks of its table's keys, composed once: the texts stay the same, so the server keeps their plans."""

    def __init__(self, target: Target) -> None:
        table = table_name(target.table)
        columns = sql.SQL(", ").join(identifier(column.name) for column in target.key)
        descending = sql.SQL(", ").join(
            sql.SQL("{} DESC").format(identifier(column.name)) for column in target.key
        )
        edge = sql.SQL("SELECT {} FROM (SELECT {} FROM {} ORDER BY {} LIMIT 1) edge")
        self.first = edge.format(key_text(target.key), columns, table, columns).as_bytes()
        self.last = edge.format(key_text(target.key), columns, table, descending).as_bytes()
        self.boundaries = {
            opening: sql.SQL(
                "SELECT {} FROM (SELECT {} FROM {} WHERE {} ORDER BY {} OFFSET %(rows)s::bigint - 1 LIMIT 1) edge"
            )
            .format(key_text(target.key), columns, table, keys_between(target.key, opening=opening), columns)
            .as_bytes()
            for opening in (True, False)
        }
        self.counts = {
            opening: sql.SQL("SELECT count(*) FROM {} WHERE {}")
            .format(table, keys_between(target.key, opening=opening))
            .as_bytes()
            for opening in (True, False)
        }


class SqlBatches:
    """`ports.Batches` on a server.

    Args:
        lease_seconds: how long a checkpoint renews the lease for.
    """

    def __init__(self, session: Session, target: Target, change: Change, *, lease_seconds: float) -> None:
        self._session = session
        self._walk = Walk(target)
        self._change = change
        self._lease_seconds = lease_seconds

    @property
    def prepares(self) -> bool:
        return isinstance(self._change, Preparing)

    def prepare(self, lease: Lease, piece: Piece) -> None:
        if isinstance(self._change, Preparing):
            self._change.prepare(self._session, lease, piece)

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        try:
            with self._session.transaction(exact=self._change.begin()) as connection:
                yield SqlTransaction(connection, self._walk, self._change, self._lease_seconds)
        except DatabaseFailure as failure:
            self._change.failed(failure)
            raise


class SqlTransaction:
    """`ports.Transaction` on a server."""

    def __init__(self, connection: Connection, walk: Walk, change: Change, lease_seconds: float) -> None:
        self._connection = connection
        self._walk = walk
        self._change = change
        self._lease_seconds = lease_seconds

    def boundary(self, after: Key | None, upto: Key, rows: int) -> Key | None:
        query = self._walk.boundaries[after is None]
        values = {**key_values("after", after), **key_values("upto", upto), "rows": rows}
        with translated(self._connection):
            # AccessShare; an index-only scan of the batch's own keys.
            return _key(self._connection.execute(query, values).fetchone())

    def count(self, after: Key | None, upto: Key) -> int:
        query = self._walk.counts[after is None]
        values = {**key_values("after", after), **key_values("upto", upto)}
        with translated(self._connection):
            # AccessShare; an index-only scan of fewer keys than a window has.
            row = self._connection.execute(query, values).fetchone()
        return int(str(row[0])) if row else 0

    def change(self, lease: Lease, piece: Piece) -> int:
        with translated(self._connection):
            return self._change.apply(self._connection, lease, piece)

    def checkpoint(self, old: Lease, new: Lease) -> Want | None:
        with translated(self._connection):
            return journal.checkpoint(self._connection, old, new, self._lease_seconds)


RANGE_ROWS = 50_000  # a range is worth a lease when it has so many rows
MOST_RANGES = 64
SAMPLE_ROWS = 20_000  # keys looked at to find even ranges


def cut_keys(connection: Connection, target: Target, workers: int) -> tuple[Key | None, list[Key]]:
    """The first key of the table, and the last keys of ranges of about as many rows each, in the order of keys; the
    last of them is the table's. None and nothing where it is empty.
    """
    walk = Walk(target)
    # AccessShare; one look at each end of the index.
    first = _key(connection.execute(walk.first, {}).fetchone())
    last = _key(connection.execute(walk.last, {}).fetchone())
    if first is None or last is None:
        return None, []
    rows = target.rows_estimate or 0
    wanted = min(max(rows // RANGE_ROWS, workers * 4 if workers > 1 else 1), MOST_RANGES)
    if wanted < 2:
        return first, [last]
    share = min(100.0, 100.0 * SAMPLE_ROWS / max(rows, 1))
    columns = sql.SQL(", ").join(identifier(column.name) for column in target.key)
    # AccessShare; reads about as many rows as it wants, page by page.
    found = connection.execute(
        sql.SQL(
            "SELECT {key} FROM (SELECT {columns}, row_number() OVER (ORDER BY {columns}) AS place,"
            " count(*) OVER () AS keys FROM {table} TABLESAMPLE SYSTEM (%(share)s) WHERE {known}) AS sampled"
            " WHERE place * %(wanted)s / keys > (place - 1) * %(wanted)s / keys ORDER BY place"
        ).format(
            key=key_text(target.key),
            columns=columns,
            table=table_name(target.table),
            known=up_to(target.key),
        ),
        {"wanted": wanted, "share": share, **key_values("upto", last)},
    ).fetchall()
    ends = [key for row in found if (key := _key(row)) is not None]
    return first, [*ends[:-1], last]


@dataclass(frozen=True, slots=True)
class Trial:
    """One batch that was tried and rolled back.

    Args:
        statement: the UPDATE as it will run, with this batch's values.
        plan: EXPLAIN's lines for it.
        rows: keys walked; `changed`: rows written.
        milliseconds: of boundary and UPDATE together.
    """

    statement: str
    plan: tuple[str, ...]
    rows: int
    changed: int
    milliseconds: float


class _Tried(Exception):
    """Carries the result out through the rollback."""

    def __init__(self, trial: Trial | None) -> None:
        self.trial = trial


def try_batch(
    session: Session, spec: Spec, target: Target, after_key: Key | None, rows: int = PROBE
) -> Trial | None:
    """Run one batch behind `after_key` and roll it back; None where no key is left.

    Raises:
        BadExpression: an expression fails on these rows.
        PlanIgnoresKey: the table is not small and the plan does not walk the key's index.
        DatabaseFailure: a lock or the server.
    """
    try:
        with session.transaction() as connection:
            trial = _try(connection, spec, target, after_key, rows)
            raise _Tried(trial)  # noqa: TRY301  # the rollback is the point
    except _Tried as tried:
        return tried.trial


def _try(
    connection: Connection, spec: Spec, target: Target, after_key: Key | None, rows: int
) -> Trial | None:
    walk = Walk(target)
    opening = after_key is None
    boundary = walk.boundaries[opening]
    statement = update(spec, target, Cut(opening, sliced=False, touch=True)).as_bytes()
    last = _key(connection.execute(walk.last, {}).fetchone())
    if last is None:
        return None
    bounds = {**key_values("after", after_key), **key_values("upto", last), "rows": rows}
    _check_plan(connection, target, "boundary query", boundary, bounds)
    began = time.perf_counter()
    # AccessShare; an index-only scan of the batch's own keys.
    edge = _key(connection.execute(boundary, bounds).fetchone())
    seconds = time.perf_counter() - began
    values = {**bounds, **key_values("upto", edge or last)}
    _check_plan(connection, target, "batch", statement, values)
    explained = connection.execute(b"EXPLAIN " + statement, values).fetchall()
    try:
        began = time.perf_counter()
        # RowExclusive and row locks on a batch, given back by the rollback.
        changed = connection.execute(statement, values).rowcount
        seconds += time.perf_counter() - began
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
        shown = ", ".join(f"{column} = {expression}" for column, expression in spec.assignments)
        raise BadExpression("on real rows,", shown, message(error)) from error
    return Trial(
        statement=psycopg.ClientCursor(connection).mogrify(statement, values),
        plan=tuple(str(line[0]) for line in explained),
        rows=rows if edge is not None else changed,
        changed=changed,
        milliseconds=seconds * 1000,
    )


def _check_plan(
    connection: Connection, target: Target, statement: str, query: bytes, values: dict[str, object]
) -> None:
    if target.pages <= SMALL:
        return
    leaves = {
        str(row[0])
        for row in connection.execute(
            # AccessShare on catalogs only.
            "SELECT c.relname FROM pg_class c WHERE c.oid = %(oid)s::oid OR c.oid IN"
            " (SELECT relid FROM pg_partition_tree(%(oid)s::oid::regclass))",
            {"oid": target.oid},
        )
    }
    row = connection.execute(b"EXPLAIN (FORMAT JSON) " + query, values).fetchone()
    if row is None:
        return
    document = row[0] if isinstance(row[0], list) else json.loads(str(row[0]))
    bad = _reads_all(document[0]["Plan"], leaves)
    if bad is not None:
        raise PlanIgnoresKey(target, statement, bad)


def _reads_all(node: dict[str, object], tables: set[str]) -> str | None:
    """The first node that reads one of `tables` without bounds from an index; None where all have them."""
    kind = str(node["Node Type"])
    children = node.get("Plans", [])
    if node.get("Relation Name") in tables:
        if kind == "Seq Scan":
            return "a sequential scan"
        if kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node:
            return f'the whole index "{node.get("Index Name")}"'
    if isinstance(children, list):
        for child in children:
            found = _reads_all(child, tables)
            if found is not None:
                return found
    return None


def _key(row: tuple[object, ...] | None) -> Key | None:
    if row is None or not isinstance(row[0], list):
        return None
    return tuple(str(part) for part in row[0])
