"""One batch of a function, tried before the first: read, computed, written and rolled back."""

from __future__ import annotations

import time

from evolve.backfill.calling import Computing
from evolve.backfill.failures import Verdict, judge
from evolve.backfill.isolation import alone, isolate
from evolve.backfill.ports import DatabaseFailure, Lease, Piece, Reject
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Mode, Transform
from evolve.errors import Misuse
from evolve.postgres.backfill_target import Target
from evolve.postgres.kept import ValueOverwritten
from evolve.postgres.pieces import range_values
from evolve.postgres.session import Session
from evolve.postgres.transforming import Transforming
from evolve.postgres.trying import Overwritten, Trial, Trying
from evolve.postgres.walking import Walk, edges, read_key

IDLE = "25P03"


class BadFunction(Misuse):
    """
    Args:
        rows: each of the first rows failed, and the last one, too.
    """

    def __init__(self, work: Transform, failure: DatabaseFailure, *, rows: bool = False) -> None:
        super().__init__(
            failure.message,
            why="so does every row that was tried, the first ones and the last; no row was written"
            if rows
            else "it was tried on the first rows and rolled back; no row was written",
            fix=f"mend {work.function} and try it: evolve backfill run … --dry-run",
        )


class _Tried(Exception):
    """Ends a transaction that is to leave nothing behind."""


def try_function(
    session: Session, spec: Spec, work: Transform, target: Target, compute: Computing, rows: int
) -> Trial | None:
    """Call the function on the first `rows` keys and write what it answers, rolled back; None where there is no key.

    One that acts outside of the database is not called.

    Raises:
        BadFunction: it broke its contract, or fails on every row that was tried.
        Overwritten: a trigger keeps rows from being written.
        DatabaseFailure: a lock, the server, or something in one of these rows, which a run sets aside.
    """
    began = time.perf_counter()
    found = _first(session, target, rows)
    if found is None:
        return None
    piece, full = found
    change = Transforming(spec, work, target, None, compute, lease_seconds=60.0)
    changed = 0
    rejects: tuple[Reject, ...] = ()
    if work.mode is not Mode.OUTBOX:
        try:
            change.prepare(session, _NOBODY, piece)
            with session.transaction() as connection:
                changed = change.apply(connection, _NOBODY, piece)
                raise _Tried  # noqa: TRY301  # the rollback is the point
        except _Tried:
            pass
        except ValueOverwritten as error:
            column = error.found.column or work.writes[0]
            raise Overwritten(spec.table, column, error.found.overwritten, error.found.triggers) from error
        except DatabaseFailure as failure:
            if judge(failure) is Verdict.FATAL:
                raise BadFunction(work, failure) from failure
            if failure.sqlstate == IDLE and rows > 1:
                # It computed for longer than rows may be locked: batches will be smaller, too.
                session.reopen()
                return try_function(session, spec, work, target, compute, rows // 10 or 1)
            if judge(failure) is not Verdict.ROW:
                raise
            changed, rejects = _set_aside(session, work, target, change, piece, failure)
    return Trial(
        statement=f"{work.function} on ({', '.join(work.reads)}), written to ({', '.join(work.writes)})",
        plan=(),
        rows=rows if full else changed,
        changed=changed,
        milliseconds=(time.perf_counter() - began) * 1000,
        rejects=rejects,
    )


def _set_aside(
    session: Session,
    work: Transform,
    target: Target,
    change: Transforming,
    piece: Piece,
    failure: DatabaseFailure,
) -> tuple[int, tuple[Reject, ...]]:
    """How many of these rows a run would write, and which it would set aside.

    Raises:
        BadFunction: it would write none, and not the last row of the table either.
        DatabaseFailure: that cannot be found out.
    """
    isolated = None
    try:
        with session.transaction() as connection:
            ends = edges(connection, target)
            trying = Trying(connection, target, change)
            isolated = isolate(trying, _NOBODY, piece)
            none = len(isolated.rejects) == len(trying.keys(piece)) > 0
            if none and ends is not None and isolate(trying, _NOBODY, alone(piece, ends[1])).rejects:
                raise BadFunction(work, failure, rows=True)
            raise _Tried  # noqa: TRY301  # the rollback is the point
    except _Tried:
        pass
    except DatabaseFailure as other:
        if other.lost:
            session.reopen()
        raise failure from other
    return (0, ()) if isolated is None else (isolated.changed, isolated.rejects)


_NOBODY = Lease(0, 0, "", 0, None, ())


def _first(session: Session, target: Target, rows: int) -> tuple[Piece, bool] | None:
    """The first keys, and whether there are as many."""
    with session.transaction() as connection:
        ends = edges(connection, target)
        if ends is None:
            return None
        first, last = ends
        values = {**range_values(first, None, last), "rows": rows}
        # AccessShare; an index-only scan of the keys.
        edge = read_key(connection.execute(Walk(target).boundaries[True], values).fetchone())
    return Piece(None, edge or last, first=first), edge is not None
