"""The statements of a batch: boundary, change, checkpoint; one transaction, one range of keys."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from evolve.backfill.keyset import Key, KeyColumn
from evolve.backfill.ports import DatabaseFailure, Lease, Want
from evolve.backfill.spec import Spec
from evolve.errors import Refused
from evolve.postgres import journal, undo_journal
from evolve.postgres.backfill_target import BadExpression, Target
from evolve.postgres.composing import identifier, table_name, type_name, written
from evolve.postgres.connect import Connection
from evolve.postgres.failure import message, translated
from evolve.postgres.session import Session

SMALL = 1_000  # pages (8 MB): reading such a table whole is no harm, and the planner may well prefer it
PROBE = 50  # rows of the probe
LOCKING = 20  # batches that lock their rows first, after one that met another writer


class PlanIgnoresKey(Refused):
    def __init__(self, target: Target, statement: str, node: str) -> None:
        super().__init__(
            f'the {statement} would read "{target.table.plain}" by {node}, not by the key\'s index "{target.index}"',
            why="every batch would read far more than its own rows",
            fix=f"ANALYZE {target.table} and try again; a --where that another index serves may need rewriting",
        )


def key_text(key: tuple[KeyColumn, ...]) -> sql.Composed:
    """An array of the key's columns, spelled so that it reads back the same under every DateStyle and TimeZone."""
    return sql.SQL("ARRAY[{}]").format(
        sql.SQL(", ").join(sql.SQL("to_jsonb({}) #>> '{{}}'").format(identifier(c.name)) for c in key)
    )


def after(key: tuple[KeyColumn, ...]) -> sql.Composed:
    return _compare(key, sql.SQL(">"), "after")


def up_to(key: tuple[KeyColumn, ...]) -> sql.Composed:
    return _compare(key, sql.SQL("<="), "upto")


def _compare(key: tuple[KeyColumn, ...], operator: sql.SQL, prefix: str) -> sql.Composed:
    columns = sql.SQL(", ").join(identifier(column.name) for column in key)
    values = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Placeholder(f"{prefix}{place}"), type_name(column.type))
        for place, column in enumerate(key)
    )
    return sql.SQL("({}) {} ({})").format(columns, operator, values)


def key_values(prefix: str, key: Key | None) -> dict[str, object]:
    return {} if key is None else {f"{prefix}{place}": part for place, part in enumerate(key)}


def _conditions(*conditions: sql.Composable) -> sql.Composed:
    return sql.SQL(" AND ").join(conditions)


class Statements:
    """Everything a run says to its table, composed once: the texts stay the same, so the server keeps their plans."""

    def __init__(self, spec: Spec, target: Target) -> None:
        self.key = target.key
        self.table = table_name(target.table)
        columns = sql.SQL(", ").join(identifier(column.name) for column in target.key)
        descending = sql.SQL(", ").join(
            sql.SQL("{} DESC").format(identifier(column.name)) for column in target.key
        )
        edge = sql.SQL("SELECT {} FROM (SELECT {} FROM {} ORDER BY {} LIMIT 1) edge")
        self.first = edge.format(key_text(target.key), columns, self.table, columns)
        self.last = edge.format(key_text(target.key), columns, self.table, descending)
        self.boundaries = {
            opening: sql.SQL(
                "SELECT {} FROM (SELECT {} FROM {} WHERE {} ORDER BY {} OFFSET %(rows)s::bigint - 1 LIMIT 1) edge"
            ).format(key_text(target.key), columns, self.table, self.range(opening=opening), columns)
            for opening in (True, False)
        }
        table_column = sql.SQL("{} = {}.{}")
        changes = sql.SQL(", ").join(
            [
                *(
                    sql.SQL("{} = {}").format(identifier(column), written(expression))
                    for column, expression in spec.assignments
                ),
                *(
                    table_column.format(identifier(column), self.table, identifier(column))
                    for column in target.touched
                ),
            ]
        )
        self.wheres = {
            opening: _conditions(
                self.range(opening=opening), *([written(spec.where)] if spec.where is not None else [])
            )
            for opening in (True, False)
        }
        self.recordings: dict[bool, sql.Composed] = {}
        self.locks: dict[bool, sql.Composed] = {}
        self.updates = {
            opening: sql.SQL("UPDATE {} SET {} WHERE {}").format(self.table, changes, where)
            for opening, where in self.wheres.items()
        }

    def record(self, run_id: int, target: Target) -> None:
        """Add the statements that keep before-images."""
        self.recordings = {
            opening: undo_journal.recording(run_id, target, update, self.wheres[opening])
            for opening, update in self.updates.items()
        }
        self.locks = {opening: undo_journal.locking(target, where) for opening, where in self.wheres.items()}

    def range(self, *, opening: bool) -> sql.Composed:
        """`cursor < key <= upto`; before the first batch there is no cursor."""
        return up_to(self.key) if opening else _conditions(after(self.key), up_to(self.key))


@dataclass(frozen=True, slots=True)
class _Recorded:
    seen: int
    changed: int


class SqlBatches:
    """`ports.Batches` on a server.

    With an undo journal a batch is a REPEATABLE READ transaction: cheap, and right because a row that somebody changed
    meanwhile fails it. Where that happens, the next batches lock their rows first and wait: a row that is always in
    somebody's hands would fail every try.

    Args:
        undo_of: the run whose journal takes the before-images; None keeps none.
        lease_seconds: how long a checkpoint renews the lease for.
    """

    def __init__(
        self, session: Session, spec: Spec, target: Target, *, undo_of: int | None, lease_seconds: float
    ) -> None:
        self._session = session
        self._statements = Statements(spec, target)
        self._undo_of = undo_of
        self._lease_seconds = lease_seconds
        self._locking = 0
        if undo_of is not None:
            self._statements.record(undo_of, target)

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        recording = self._undo_of is not None
        locking = recording and self._locking > 0
        self._locking = max(0, self._locking - 1)
        try:
            with self._session.transaction(exact=recording and not locking) as connection:
                yield SqlTransaction(
                    connection, self._statements, self._lease_seconds, recording=recording, locking=locking
                )
        except DatabaseFailure as failure:
            if failure.sqlstate == "40001":
                self._locking = LOCKING
            raise


class SqlTransaction:
    """`ports.Transaction` on a server."""

    def __init__(
        self,
        connection: Connection,
        statements: Statements,
        lease_seconds: float,
        *,
        recording: bool,
        locking: bool,
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._lease_seconds = lease_seconds
        self._recording = recording
        self._locking = locking

    def boundary(self, after: Key | None, upto: Key, rows: int) -> Key | None:
        query = self._statements.boundaries[after is None]
        values = {**key_values("after", after), **key_values("upto", upto), "rows": rows}
        with translated(self._connection):
            # AccessShare; an index-only scan of the batch's own keys.
            return _key(self._connection.execute(query, values).fetchone())

    def change(self, lease: Lease, upto: Key) -> int:
        opening = lease.cursor is None
        values = {**key_values("after", lease.cursor), **key_values("upto", upto)}
        with translated(self._connection):
            if not self._recording:
                # RowExclusive and row locks until COMMIT, in key order, for a few milliseconds.
                return self._connection.execute(self._statements.updates[opening], values).rowcount
            return self._change_and_record(
                opening, {**values, "range_no": lease.range_no, "batch_no": lease.batches + 1}
            )

    def _change_and_record(self, opening: bool, values: dict[str, object]) -> int:
        locked: object = None
        if self._locking:
            # Row locks until COMMIT, in key order; whoever holds one is waited for.
            row = self._connection.execute(self._statements.locks[opening], values).fetchone()
            locked = row[0] if row else 0
        with self._connection.cursor(row_factory=class_row(_Recorded)) as cursor:
            # RowExclusive and row locks until COMMIT, in key order, for a few milliseconds.
            recorded = cursor.execute(self._statements.recordings[opening], values).fetchone()
        if recorded is None:
            return 0
        if locked is not None and recorded.seen != locked:
            raise DatabaseFailure(
                "rows came up while the batch was being locked", sqlstate="40001", lost=False
            )
        return recorded.changed

    def checkpoint(self, old: Lease, new: Lease) -> Want | None:
        with translated(self._connection):
            return journal.checkpoint(self._connection, old, new, self._lease_seconds)


def key_range(connection: Connection, spec: Spec, target: Target) -> tuple[Key | None, Key | None]:
    """First and last key of the table as it is now; None for both where it is empty."""
    statements = Statements(spec, target)
    # AccessShare; one look at each end of the index.
    low = _key(connection.execute(statements.first, {}).fetchone())
    return low, _key(connection.execute(statements.last, {}).fetchone())


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
    statements = Statements(spec, target)
    opening = after_key is None
    boundary, update = statements.boundaries[opening], statements.updates[opening]
    last = _key(connection.execute(statements.last, {}).fetchone())
    if last is None:
        return None
    bounds = {**key_values("after", after_key), **key_values("upto", last), "rows": rows}
    _check_plan(connection, target, "boundary query", boundary, bounds)
    began = time.perf_counter()
    # AccessShare; an index-only scan of the batch's own keys.
    edge = _key(connection.execute(boundary, bounds).fetchone())
    seconds = time.perf_counter() - began
    values = {**bounds, **key_values("upto", edge or last)}
    _check_plan(connection, target, "batch", update, values)
    explained = connection.execute(sql.SQL("EXPLAIN ") + update, values).fetchall()
    try:
        began = time.perf_counter()
        # RowExclusive and row locks on a batch, given back by the rollback.
        changed = connection.execute(update, values).rowcount
        seconds += time.perf_counter() - began
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
        shown = ", ".join(f"{column} = {expression}" for column, expression in spec.assignments)
        raise BadExpression("on real rows,", shown, message(error)) from error
    return Trial(
        statement=psycopg.ClientCursor(connection).mogrify(update, values),
        plan=tuple(str(line[0]) for line in explained),
        rows=rows if edge is not None else changed,
        changed=changed,
        milliseconds=seconds * 1000,
    )


def _check_plan(
    connection: Connection, target: Target, statement: str, query: sql.Composed, values: dict[str, object]
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
    row = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) ") + query, values).fetchone()
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
