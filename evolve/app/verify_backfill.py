"""Look whether every row holds what a backfill was to give it, and write down what was seen."""

from __future__ import annotations

import time
from contextlib import closing

from evolve.app.backfill_work import actor, told
from evolve.backfill.ports import Watch
from evolve.backfill.progress import Meter, Snapshot
from evolve.backfill.verify import CannotVerify, Verdict, Verification, misses_predicate
from evolve.postgres import journal
from evolve.postgres.session import Session
from evolve.postgres.windows import SqlWindows
from evolve.postgres.writable import refuse_read_only


def verify_backfill(url: str, name: str, *, watch: Watch) -> Verdict:
    """Count what is missing over the whole table; the result is kept with the run, as evidence with its time.

    Raises:
        NoSuchRun
        CannotVerify: no predicate can tell a row that was done from one that was not.
    """
    with (
        closing(Session(url, f"evolve backfill verify {name}")) as session,
        told(f'backfill "{name}" could not be verified', session),
    ):
        connection = session.current()
        refuse_read_only(connection)
        record = journal.named_run(connection, name)
        predicate = misses_predicate(record.spec)
        if predicate is None:
            raise CannotVerify(record.spec)
        meter = Meter(record.scanned or record.rows_estimate, time.monotonic)
        seen = 0

        def between(rows: int) -> None:
            nonlocal seen
            meter.committed(rows - seen)
            seen = rows
            part = meter.fraction(rows, None, finished=False)
            watch.report(
                Snapshot(
                    name=name,
                    state="verifying",
                    rows=record.changed,
                    scanned=rows,
                    fraction=part,
                    rows_per_second=meter.rate(),
                    seconds_left=meter.seconds_left(rows, part),
                    size=looking.controller.size,
                )
            )

        windows = SqlWindows(connection, record.spec.table, record.key, predicate)
        looking = Verification(windows, predicate, time.monotonic, between)
        verdict = looking.run()
        journal.store_verdict(connection, record.run_id, verdict, actor())
        return verdict
