"""EV713: a strong lock is asked for without lock_timeout."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.session_settings import LOCKING, first_strong_lock, in_force
from evolve.sql.steps import Step


class MissingLockTimeout(Rule):
    id = "EV713"
    name = "missing-lock-timeout"
    severity = Severity.INFO
    looks_at = LOCKING
    opt_in = True
    peers = ("squawk:require-timeout-settings", "eugene:E9", "squawk:require-lock-timeout")
    why = "without it the statement waits for as long as the longest query, and every other query queues behind it"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = first_strong_lock(step, history)
        if table is not None and in_force(history, step, "lock_timeout") in (None, "0", ""):
            yield self.finding(
                step,
                f'writers of "{table.plain}" wait for this, and lock_timeout is not set',
                fix="set it in env.py for all revisions, or run them with evolve upgrade",
            )
