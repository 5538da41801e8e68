"""EV176: ACCESS EXCLUSIVE is replayed on hot standbys."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.predicted import predicted
from evolve.lint.rule import Rule
from evolve.lint.session_settings import LOCKING
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class ReplicaConflict(Rule):
    id = "EV176"
    name = "replica-conflict"
    severity = Severity.WARNING
    looks_at = LOCKING
    opt_in = True
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "a standby takes the lock as well: replay waits for its queries up to max_standby_streaming_delay, then "
        "cancels them, and meanwhile it falls behind; lock_timeout on the primary knows nothing of that"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if any(mode is LockMode.ACCESS_EXCLUSIVE for mode, _ in history.transaction.locks.values()):
            return
        schema = history.schema
        found = predicted(step, history)
        for name, mode in found.locks.items():
            other = name in schema.indexes or name in schema.sequences or name in schema.views
            if mode is LockMode.ACCESS_EXCLUSIVE and history.in_use(name) and not other:
                yield self.finding(
                    step,
                    f'long queries on "{name.plain}" are cancelled on hot standbys when this is replayed',
                    table=name,
                    rewrite=name in found.rewrites,
                    scan=name in found.scans,
                    fix="keep the transaction short, and run it when no long query runs on the standbys",
                )
                return
