"""The statements of a batch: boundary, change, checkpoint; one transaction, one range of keys."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product, starmap

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from evolve.backfill.keyset import Key, KeyColumn
from evolve.backfill.ports import BUCKETS, DatabaseFailure, Lease, Piece, Want
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


def hashed(key: tuple[KeyColumn, ...]) -> sql.Composed:
    """A number below `BUCKETS` for a row, by its key."""
    names = [identifier(column.name) for column in key]
    if len(key) == 1 and key[0].type in _HASHES:
        function, cast = _HASHES[key[0].type]
        value = sql.SQL(f"{function}({{}}{cast})").format(names[0])
    else:
        value = sql.SQL("hash_record(ROW({}))").format(sql.SQL(", ").join(names))
    return sql.SQL("({} & {})").format(value, sql.Literal(BUCKETS - 1))


# Support functions of hash operator classes, in every server; any other type takes the one for records.
_HASHES = {
    "smallint": ("hashint8", "::bigint"),
    "integer": ("hashint8", "::bigint"),
    "bigint": ("hashint8", ""),
    "uuid": ("uuid_hash", ""),
    "text": ("hashtext", ""),
    "character varying": ("hashtext", "::text"),
}


@dataclass(frozen=True, slots=True)
class _Cut:
    """Which of the texts a piece takes; see `Piece`."""

    opening: bool
    sliced: bool
    touch: bool


def _cut(piece: Piece) -> _Cut:
    return _Cut(piece.after is None, piece.slices > 1, piece.touch)


class Statements:
    """Everything a run says to its table, composed once: the texts stay the same, so the server keeps their plans.

    Args:
        undo_of: the run whose journal takes the before-images; None keeps none.
    """

    def __init__(self, spec: Spec, target: Target, undo_of: int | None = None) -> None:
        self._spec = spec
        self._target = target
        self._table = table_name(target.table)
        columns = sql.SQL(", ").join(identifier(column.name) for column in target.key)
        descending = sql.SQL(", ").join(
            sql.SQL("{} DESC").format(identifier(column.name)) for column in target.key
        )
        edge = sql.SQL("SELECT {} FROM (SELECT {} FROM {} ORDER BY {} LIMIT 1) edge")
        self.first = edge.format(key_text(target.key), columns, self._table, columns).as_bytes()
        self.last = edge.format(key_text(target.key), columns, self._table, descending).as_bytes()
        self.boundaries = {
            opening: sql.SQL(
                "SELECT {} FROM (SELECT {} FROM {} WHERE {} ORDER BY {} OFFSET %(rows)s::bigint - 1 LIMIT 1) edge"
            )
            .format(key_text(target.key), columns, self._table, self._range(opening), columns)
            .as_bytes()
            for opening in (True, False)
        }
        self.counts = {
            opening: sql.SQL("SELECT count(*) FROM {} WHERE {}")
            .format(self._table, self._range(opening))
            .as_bytes()
            for opening in (True, False)
        }
        self.updates: dict[_Cut, bytes] = {}
        self.recordings: dict[_Cut, bytes] = {}
        self.locks: dict[_Cut, bytes] = {}
        for cut in starmap(_Cut, product((True, False), repeat=3)):
            where = self._where(cut)
            update = sql.SQL("UPDATE {} SET {} WHERE {}").format(self._table, self._changes(cut), where)
            self.updates[cut] = update.as_bytes()
            if undo_of is not None:
                self.recordings[cut] = undo_journal.recording(undo_of, target, update, where).as_bytes()
                self.locks[cut] = undo_journal.locking(target, where).as_bytes()

    def _range(self, opening: bool) -> sql.Composed:  # a key of the texts
        """`after < key <= upto`; where nothing comes before the piece, `key <= upto`."""
        return (
            up_to(self._target.key)
            if opening
            else _conditions(after(self._target.key), up_to(self._target.key))
        )

    def _where(self, cut: _Cut) -> sql.Composed:
        """The rows of a piece that need work."""
        conditions: list[sql.Composable] = [self._range(cut.opening)]
        if cut.sliced:
            bucket = hashed(self._target.key)
            conditions.append(sql.SQL("{} >= %(slice_from)s AND {} < %(slice_upto)s").format(bucket, bucket))
        if self._spec.where is not None:
            conditions.append(written(self._spec.where))
        return _conditions(*conditions)

    def _changes(self, cut: _Cut) -> sql.Composed:
        changes = [
            sql.SQL("{} = {}").format(identifier(column), written(expression))
            for column, expression in self._spec.assignments
        ]
        if cut.touch:
            changes += [
                sql.SQL("{} = {}.{}").format(identifier(column), self._table, identifier(column))
                for column in self._target.touched
            ]
        return sql.SQL(", ").join(changes)


def piece_values(piece: Piece) -> dict[str, object]:
    """What the placeholders of a piece's statements stand for."""
    values = {**key_values("after", piece.after), **key_values("upto", piece.upto)}
    if piece.slices > 1:
        values["slice_from"] = BUCKETS * piece.slice // piece.slices
        values["slice_upto"] = BUCKETS * (piece.slice + 1) // piece.slices
    return values


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
        self._statements = Statements(spec, target, undo_of)
        self._undo_of = undo_of
        self._lease_seconds = lease_seconds
        self._locking = 0

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

    def count(self, after: Key | None, upto: Key) -> int:
        query = self._statements.counts[after is None]
        values = {**key_values("after", after), **key_values("upto", upto)}
        with translated(self._connection):
            # AccessShare; an index-only scan of fewer keys than a window has.
            row = self._connection.execute(query, values).fetchone()
        return int(str(row[0])) if row else 0

    def change(self, lease: Lease, piece: Piece) -> int:
        values = piece_values(piece)
        with translated(self._connection):
            if not self._recording:
                # RowExclusive and row locks until COMMIT, in key order, for a few milliseconds.
                return self._connection.execute(self._statements.updates[_cut(piece)], values).rowcount
            return self._change_and_record(
                _cut(piece), {**values, "range_no": lease.range_no, "batch_no": lease.batches + 1}
            )

    def _change_and_record(self, cut: _Cut, values: dict[str, object]) -> int:
        locked: object = None
        if self._locking:
            # Row locks until COMMIT, in key order; whoever holds one is waited for.
            row = self._connection.execute(self._statements.locks[cut], values).fetchone()
            locked = row[0] if row else 0
        with self._connection.cursor(row_factory=class_row(_Recorded)) as cursor:
            # RowExclusive and row locks until COMMIT, in key order, for a few milliseconds.
            recorded = cursor.execute(self._statements.recordings[cut], values).fetchone()
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


RANGE_ROWS = 50_000  # a range is worth a lease when it has so many rows
MOST_RANGES = 64
SAMPLE_ROWS = 20_000  # keys looked at to find even ranges


def cut_keys(
    connection: Connection, spec: Spec, target: Target, workers: int
) -> tuple[Key | None, list[Key]]:
    """The first key of the table, and the last keys of ranges of about as many rows each, in the order of keys; the
    last of them is the table's. None and nothing where it is empty.
    """
    statements = Statements(spec, target)
    # AccessShare; one look at each end of the index.
    first = _key(connection.execute(statements.first, {}).fetchone())
    last = _key(connection.execute(statements.last, {}).fetchone())
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
    statements = Statements(spec, target)
    opening = after_key is None
    boundary, update = statements.boundaries[opening], statements.updates[_Cut(opening, False, True)]
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
    explained = connection.execute(b"EXPLAIN " + update, values).fetchall()
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
