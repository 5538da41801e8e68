"""EV180: a moment's lock on a table that is written to all the time."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.predicted import predicted
from evolve.lint.rule import Rule
from evolve.lint.session_settings import LOCKING, in_force
from evolve.sql.steps import Step


class WriteHotTable(Rule):
    id = "EV180"
    name = "write-hot-table"
    severity = Severity.WARNING
    looks_at = LOCKING
    opt_in = True
    why = (
        "the statement is instant, waiting for its turn is not: behind one long query the writers queue up, and the "
        "pool of connections is empty in seconds"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if history.facts is None or in_force(history, step, "lock_timeout") not in (None, "0"):
            return
        found = predicted(step, history)
        if found.rewrites or found.scans or found.rebuilds:
            return  # other rules speak of these, and facts raise them
        for name, mode in found.locks.items():
            size = history.facts.size(name)
            hot = size is not None and history.thresholds.is_hot(size)
            if hot and mode.blocks_writes and history.in_use(name) and name not in history.transaction.locks:
                rate = size.writes_per_second if size is not None else None
                yield self.finding(
                    step,
                    f'{rate or 0:,.0f} writes/s to "{name.plain}" queue behind this while it waits for its lock',
                    table=name,
                    lock=mode,
                    fix="a lock_timeout below a second, and retries: evolve upgrade",
                )
