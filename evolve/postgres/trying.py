"""One batch that is tried before the first and rolled back: its plan, its errors, and what it leaves in its rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from evolve.backfill.failures import Verdict, judge
from evolve.backfill.isolation import alone, isolate
from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure, Lease, Piece, Reject
from evolve.backfill.spec import Spec
from evolve.backfill.works import JoinedUpdate
from evolve.errors import Misuse
from evolve.postgres.backfill_target import BadExpression, Target
from evolve.postgres.changing import Change, Stating
from evolve.postgres.connect import Connection
from evolve.postgres.failure import translated
from evolve.postgres.kept import kept
from evolve.postgres.pieces import Cut, cut_of, piece_values, range_values
from evolve.postgres.plan_check import check_plan
from evolve.postgres.session import Session
from evolve.postgres.statements import share_lock, statement
from evolve.postgres.walking import Walk, edges, read_key
from evolve.sql.names import QualifiedName

PROBE = 50  # rows of the probe
_OPENING = Cut(opening=True, sliced=False, touch=True)


class Overwritten(Misuse):
    def __init__(self, table: QualifiedName, column: str, rows: int, triggers: Sequence[str]) -> None:
        super().__init__(
            f'column "{table.plain}.{column}" does not keep what it is given: {rows} of the first rows held another'
            " value after the write",
            why=f"triggers write it, too: {', '.join(triggers)}",
            fix="write the expression as the trigger leaves the value, or disable the trigger for the time being",
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """One batch that was tried and rolled back.

    Args:
        statement: as it will run, with this batch's values.
        plan: EXPLAIN's lines for it.
        rows: keys walked; `changed`: rows written; `rejects`: rows that fail, each alone.
        milliseconds: of boundary and statement together.
    """

    statement: str
    plan: tuple[str, ...]
    rows: int
    changed: int
    milliseconds: float
    rejects: tuple[Reject, ...] = ()


class _Tried(Exception):
    """Carries the result out through the rollback."""

    def __init__(self, trial: Trial | None) -> None:
        self.trial = trial


def try_batch(session: Session, spec: Spec, target: Target, rows: int = PROBE) -> Trial | None:
    """Run the first batch and roll it back; None where there is no row.

    Raises:
        BadExpression: an expression fails on each of these rows.
        Overwritten: a trigger leaves another value than the expression's.
        PlanIgnoresKey: a table is not small and the plan does not read it by an index.
        DatabaseFailure: a lock or the server.
    """
    try:
        with session.transaction() as connection:
            trial = _try(connection, spec, target, rows)
            raise _Tried(trial)  # noqa: TRY301  # the rollback is the point
    except _Tried as tried:
        return tried.trial


def _try(connection: Connection, spec: Spec, target: Target, rows: int) -> Trial | None:
    ends = edges(connection, target)
    if ends is None:
        return None
    boundary, query = Walk(target).boundaries[True], statement(spec, target, _OPENING).as_bytes()
    bounds = {**range_values(ends[0], None, ends[1]), "rows": rows}
    check_plan(connection, spec, target, "boundary query", boundary, bounds)
    began = time.perf_counter()
    # AccessShare; an index-only scan of the batch's own keys.
    edge = read_key(connection.execute(boundary, bounds).fetchone())
    seconds = time.perf_counter() - began
    values = {**bounds, **range_values(ends[0], None, edge or ends[1])}
    check_plan(connection, spec, target, "batch", query, values)
    explained = connection.execute(b"EXPLAIN " + query, values).fetchall()
    rejects: tuple[Reject, ...] = ()
    began = time.perf_counter()
    try:
        with translated(connection), connection.transaction():
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            _check_kept(connection, spec, target, Piece(None, edge or ends[1], first=ends[0]))
            began = time.perf_counter()
            if isinstance(spec.work, JoinedUpdate) and spec.work.lock:
                # RowShare and shared row locks on the other table, given back by the rollback.
                connection.execute(share_lock(spec, target, _OPENING), values)
            # RowExclusive and row locks on a batch, given back by the rollback.
            changed = connection.execute(query, values).rowcount
            seconds += time.perf_counter() - began
    except DatabaseFailure as failure:
        if judge(failure) is not Verdict.ROW:
            if isinstance(failure.__cause__, psycopg.ProgrammingError):
                raise BadExpression("on real rows,", spec.doing, failure.message) from failure
            raise
        changed, rejects = _set_aside(connection, spec, target, ends, edge or ends[1], failure)
        seconds += time.perf_counter() - began
    return Trial(
        statement=psycopg.ClientCursor(connection).mogrify(query, values),
        plan=tuple(str(line[0]) for line in explained),
        rows=rows if edge is not None else changed,
        changed=changed,
        milliseconds=seconds * 1000,
        rejects=rejects,
    )


def _set_aside(
    connection: Connection,
    spec: Spec,
    target: Target,
    ends: tuple[Key, Key],
    upto: Key,
    failure: DatabaseFailure,
) -> tuple[int, tuple[Reject, ...]]:
    """Which rows of the batch a run would set aside, and how many it would write.

    Raises:
        BadExpression: it would write none, and not the last row of the table either.
    """
    trying = Trying(connection, target, Stating(spec, target))
    piece = Piece(None, upto, first=ends[0])
    isolated = isolate(trying, _NO_LEASE, piece)
    if len(isolated.rejects) == len(trying.keys(piece)):
        last = isolate(trying, _NO_LEASE, alone(piece, ends[1]))
        if last.rejects:
            raise BadExpression("on every row that was tried,", spec.doing, failure.message)
    return isolated.changed, isolated.rejects


class Trying:
    """What `isolate` needs of a transaction, for a batch that is rolled back."""

    def __init__(self, connection: Connection, target: Target, change: Change) -> None:
        self._connection = connection
        self._walk = Walk(target)
        self._change = change

    def keys(self, piece: Piece) -> list[Key]:
        query = self._walk.keys[cut_of(piece)]
        with translated(self._connection):
            # AccessShare; an index-only scan of the batch's own keys.
            rows = self._connection.execute(query, piece_values(piece)).fetchall()
        return [key for row in rows if (key := read_key(row)) is not None]

    def attempt(self, lease: Lease, piece: Piece) -> int:
        with translated(self._connection), self._connection.transaction():
            return self._change.apply(self._connection, lease, piece)


_NO_LEASE = Lease(0, 0, "", 0, None, ())


def _check_kept(connection: Connection, spec: Spec, target: Target, piece: Piece) -> None:
    found = kept(connection, spec, target, piece)
    if found is not None and found.column is not None:
        raise Overwritten(spec.table, found.column, found.overwritten, found.triggers)
