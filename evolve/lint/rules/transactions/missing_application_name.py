"""EV716: a strong lock is taken by a session without a name."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.session_settings import LOCKING, first_strong_lock, in_force
from evolve.sql.steps import Step


class MissingApplicationName(Rule):
    id = "EV716"
    name = "missing-application-name"
    severity = Severity.INFO
    looks_at = LOCKING
    opt_in = True
    why = "whoever looks for what blocks the table sees a session without a name beside hundreds of others"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = first_strong_lock(step, history)
        if table is not None and in_force(history, step, "application_name") in (None, "0", ""):
            yield self.finding(
                step,
                f'writers of "{table.plain}" wait for this, and application_name is not set',
                fix="set it in env.py for all revisions, or run them with evolve upgrade",
            )
