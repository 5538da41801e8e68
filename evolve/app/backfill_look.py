"""A look at every row of a run's table, with its progress shown; nothing is written down."""

from __future__ import annotations

from collections.abc import Callable

from evolve.backfill.failures import Verdict as Judgement
from evolve.backfill.failures import judge
from evolve.backfill.ports import DatabaseFailure, Watch
from evolve.backfill.progress import Meter, Snapshot
from evolve.backfill.record import RunRecord
from evolve.backfill.verify import Verdict, Verification, Windows
from evolve.postgres.block_windows import BlockWindows
from evolve.postgres.connect import Connection
from evolve.postgres.leaves import tables_of
from evolve.postgres.rejects import or_rejected
from evolve.postgres.windows import SqlWindows


def look(
    connection: Connection,
    record: RunRecord,
    predicate: str,
    *,
    watch: Watch,
    clock: Callable[[], float],
    asked: Callable[[Snapshot], None],
) -> Verdict:
    """Count what `predicate` finds; where it fails on rows that were set aside, those count as missing unasked.

    Args:
        connection: to the primary or to a standby of it, in autocommit mode.
        asked: called after each window, with what is shown of it; raises to stop.

    Raises:
        DatabaseFailure: more tries did not help.
    """
    meter = Meter(record.scanned or record.rows_estimate, clock)
    seen = 0

    def between(rows: int) -> None:
        nonlocal seen
        meter.committed(rows - seen)
        seen = rows
        part = meter.fraction(rows, None, finished=False)
        shown = Snapshot(
            name=record.name,
            state="verifying",
            rows=record.changed,
            scanned=rows,
            fraction=part,
            rows_per_second=meter.rate(),
            seconds_left=meter.seconds_left(rows, part),
            size=verification.controller.size,
        )
        watch.report(shown)
        asked(shown)

    verification = Verification(_windows(connection, record, predicate), predicate, clock, between)
    try:
        return verification.run()
    except DatabaseFailure as failure:
        if judge(failure) is not Judgement.ROW or not record.rejects:
            raise
    # What keeps a row from being written may keep the predicate from being asked.
    windows = _windows(connection, record, or_rejected(record, predicate))
    verification = Verification(windows, predicate, clock, between)
    return verification.run()


def _windows(connection: Connection, record: RunRecord, predicate: str) -> Windows:
    if record.by_block:
        tables = tables_of(connection, record.table_oid) or [record.spec.table]
        return BlockWindows(connection, tables, predicate, record.spec.columns)
    return SqlWindows(connection, record.spec.table, record.key, predicate, record.spec.columns)
