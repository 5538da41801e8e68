"""EV909: text that is no PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class UnreadStatement(Rule):
    id = "EV909"
    name = "unread-statement"
    severity = Severity.WARNING
    looks_at = (op.Unread,)
    why = (
        "the grammar of PostgreSQL refuses it, so the server most likely does as well; what it does was not"
        " checked"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:  # the hook's signature
        match step.operation:
            case op.Unread(reason=reason):
                yield self.finding(step, f"this statement could not be read: {reason}")
            case _:
                return
