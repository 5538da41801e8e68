"""EV715: a strong lock is held without a limit for idling in the transaction."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.session_settings import LOCKING, first_strong_lock, in_force
from evolve.sql.steps import Step


class MissingIdleTimeout(Rule):
    id = "EV715"
    name = "missing-idle-timeout"
    severity = Severity.INFO
    looks_at = LOCKING
    opt_in = True
    why = "a process that hangs or loses its network keeps the locks of its open transaction for hours"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = first_strong_lock(step, history)
        if table is not None and in_force(history, step, "idle_in_transaction_session_timeout") in (
            None,
            "0",
            "",
        ):
            yield self.finding(
                step,
                f'writers of "{table.plain}" wait for this, and idle_in_transaction_session_timeout is not set',
                fix="set it in env.py for all revisions, or run them with evolve upgrade",
            )
