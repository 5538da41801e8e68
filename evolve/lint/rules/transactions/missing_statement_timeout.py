"""EV714: a strong lock is held without statement_timeout."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.session_settings import LOCKING, first_strong_lock, in_force
from evolve.sql.steps import Step


class MissingStatementTimeout(Rule):
    id = "EV714"
    name = "missing-statement-timeout"
    severity = Severity.INFO
    looks_at = LOCKING
    opt_in = True
    peers = ("squawk:require-timeout-settings", "squawk:require-statement-timeout")
    why = "a statement that takes longer than anybody thought keeps its lock until somebody notices"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = first_strong_lock(step, history)
        if table is not None and in_force(history, step, "statement_timeout") in (None, "0", ""):
            yield self.finding(
                step,
                f'writers of "{table.plain}" wait for this, and statement_timeout is not set',
                fix="set it in env.py for all revisions, or run them with evolve upgrade",
            )
