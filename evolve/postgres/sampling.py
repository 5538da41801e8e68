"""Batches tried at several places of a table and rolled back: what each takes of time, log and room."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from evolve.backfill.controller import Controller
from evolve.backfill.failures import Verdict, judge
from evolve.backfill.forecast import Batch, Place
from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure, Lease, Piece, Stop, Stretch
from evolve.postgres.backfill_target import Target
from evolve.postgres.changing import Change, Preparing
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import range_values
from evolve.postgres.session import Session
from evolve.postgres.walking import Walk, read_key

SETTLING = 8  # batches until the size has found its time target, at most
BATCHES = 4  # of each place, once it has
AGAIN = 1
IDLE = 0.2  # seconds in which others' writes to the log are counted
COMMITS = 7
TELLING = 1_000_000  # bytes: how long fewer take is a matter of the way there and back


class _Tried(Exception):
    """Ends a transaction that is to leave nothing behind."""


class Sampler:
    """Tries batches; each in a transaction of its own, so that rows are locked no longer than by a run.

    What was written is dead at once: it stays in the table until vacuum comes.

    Args:
        change: without an undo journal, which there is none of yet.
        controller: steers the size, from place to place.
    """

    def __init__(self, session: Session, controller: Controller, stop: Stop) -> None:
        self._session = session
        self._controller = controller
        self._stop = stop
        self._others = self._idle()
        self._settled = False

    def place(self, name: str, target: Target, change: Change, stretch: Stretch, written: int) -> Place:
        """Batches from the beginning of `stretch` on, until there are enough, it ends, or one fails.

        Args:
            written: oid of the table whose growth counts.
        """
        walk = Walk(target)
        settling: list[Batch] = []
        batches: list[Batch] = []
        again: list[Batch] = []
        after, failed, piece, keys = stretch.low, None, None, 0
        try:
            while len(batches) < BATCHES and self._stop.requested() is None:
                began = time.perf_counter()
                edge = self._edge(walk, stretch, after, self._controller.size)
                looked = time.perf_counter() - began
                if edge is None and (batches or settling):
                    break  # a short batch at the end of a range says little
                piece = Piece(after, edge or stretch.upto, first=stretch.first if after is None else None)
                keys = self._controller.size if edge is not None else self._count(walk, stretch, after)
                if not keys:
                    break
                batch = self._batch(change, piece, keys, written, looked)
                size = self._controller.size
                self._controller.committed(keys, batch.seconds)
                if not self._settled and edge is not None and len(settling) < SETTLING:
                    settling.append(batch)
                    self._settled = self._controller.size < size * 1.25
                else:
                    batches.append(batch)
                if edge is None:
                    break
                after = edge
            while batches and piece is not None and len(again) < AGAIN and self._stop.requested() is None:
                again.append(self._batch(change, piece, keys, written, 0.0))
        except DatabaseFailure as failure:
            if failure.lost or judge(failure) is Verdict.FATAL:
                raise
            failed = failure.message
        if not batches and settling:
            batches, settling = settling[-1:], settling[:-1]
        return Place(name, tuple(batches), tuple(again), tuple(settling), failed)

    def commits(self) -> list[float] | None:
        """Seconds of some COMMITs that wait for the log to be on disk, and on synchronous standbys.

        What they write to the log is an empty message. None where this role may not do that.
        """
        found = []
        connection = self._session.current()
        for _ in range(COMMITS):
            try:
                with self._session.transaction():
                    # No lock. A logical message takes a transaction's number, and so a COMMIT that waits for the disk.
                    connection.execute("SELECT pg_logical_emit_message(true, 'evolve', '')")
                    written = time.perf_counter()
            except DatabaseFailure:
                return None
            found.append(time.perf_counter() - written)
        return found

    def round_trip(self) -> float:
        """Seconds of a statement that does nothing: the least of several."""
        connection, found = self._session.current(), []
        for _ in range(COMMITS):
            began = time.perf_counter()
            connection.execute("SELECT 1")
            found.append(time.perf_counter() - began)
        return min(found)

    def _batch(self, change: Change, piece: Piece, keys: int, written: int, looked: float) -> Batch:
        began = time.perf_counter()
        if isinstance(change, Preparing):
            change.prepare(self._session, _NOBODY, piece)
        prepared = time.perf_counter() - began
        changed, seconds, wal, heap, hot = 0, 0.0, 0.0, 0, 0
        try:
            with self._session.transaction(exact=change.begin()) as connection:
                before = _state(connection, written)
                began = time.perf_counter()
                # Locks as the batch of a run takes them, given back by the rollback.
                changed = change.apply(connection, _NOBODY, piece)
                seconds = time.perf_counter() - began
                after = _state(connection, written)
                wal = max(0.0, after[0] - before[0] - self._others * seconds)
                heap, hot = max(0, after[1] - before[1]), after[2] - before[2]
                raise _Tried  # noqa: TRY301  # the rollback is the point
        except _Tried:
            pass
        return Batch(keys, changed, seconds + prepared + looked, wal, heap, hot)

    def _edge(self, walk: Walk, stretch: Stretch, after: Key | None, rows: int) -> Key | None:
        values = {**range_values(stretch.first, after, stretch.upto), "rows": rows}
        with self._session.transaction() as connection:
            # AccessShare; an index-only scan of the batch's own keys.
            return read_key(connection.execute(walk.boundaries[after is None], values).fetchone())

    def _count(self, walk: Walk, stretch: Stretch, after: Key | None) -> int:
        values = range_values(stretch.first, after, stretch.upto)
        with self._session.transaction() as connection:
            # AccessShare; an index-only scan of fewer keys than a batch has.
            row = connection.execute(walk.counts[after is None], values).fetchone()
        return int(str(row[0])) if row else 0

    def _idle(self) -> float:
        """Bytes per second that others write to the log."""
        connection = self._session.current()
        began, first = time.perf_counter(), _inserted(connection)
        self._stop.wait(IDLE)
        return (_inserted(connection) - first) / max(time.perf_counter() - began, 1e-9)


_NOBODY = Lease(0, 0, "", 0, None, ())


def _inserted(connection: Connection) -> float:
    # No lock.
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8").fetchone()
    return float(str(row[0])) if row else 0.0


def _state(connection: Connection, written: int) -> tuple[float, int, int]:
    """Bytes in the log, bytes of the table, and rows of it that this transaction has updated in their page."""
    # AccessShare on the table.
    row = connection.execute(
        "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8,"
        " pg_relation_size(%(table)s::oid::regclass), pg_stat_get_xact_tuples_hot_updated(%(table)s::oid)",
        {"table": written},
    ).fetchone()
    return (0.0, 0, 0) if row is None else (float(str(row[0])), int(str(row[1])), int(str(row[2])))


def replay_rate(
    connection: Connection, stop: Stop, clock: Callable[[], float], patience: float
) -> float | None:
    """Bytes per second that the slowest standby replays of what is written by now; infinite where it was never far
    behind, None where none streams, or this role may not see how far one is.
    """
    # AccessShare on catalogs only. replay_lsn is null for roles without pg_monitor.
    row = connection.execute(
        "SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::float8, pg_current_wal_lsn()::text"
        " FROM pg_stat_replication WHERE state = 'streaming'"
    ).fetchone()
    if row is None or row[0] is None:
        return None
    behind, upto, began = float(str(row[0])), str(row[1]), clock()
    left = behind
    while left > 0 and clock() - began < patience and stop.requested() is None:
        stop.wait(0.01)
        # AccessShare on catalogs only.
        now = connection.execute(
            "SELECT max(greatest(pg_wal_lsn_diff(%s::pg_lsn, replay_lsn), 0))::float8 FROM pg_stat_replication"
            " WHERE state = 'streaming'",
            (upto,),
        ).fetchone()
        if now is None or now[0] is None:
            return None
        left = float(str(now[0]))
    if left <= 0 and behind < TELLING:
        return math.inf
    return max(behind - left, 1.0) / max(clock() - began, 1e-3)
