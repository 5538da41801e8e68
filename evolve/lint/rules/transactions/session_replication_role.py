"""EV452: the session plays replica, so that triggers and foreign keys do not fire."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class SessionReplicationRole(Rule):
    id = "EV452"
    name = "session-replication-role"
    severity = Severity.ERROR
    looks_at = (op.SetParameter,)
    why = (
        "foreign keys are not checked and no trigger fires for what the session writes, audit and sync triggers among "
        "them; nothing checks those rows later"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.SetParameter("session_replication_role", str(value), local) if value.lower() == "replica":
                until = (
                    "until the transaction ends" if local else "for this and all later revisions of the run"
                )
                yield self.finding(step, f"triggers and foreign keys are off {until}")
            case _:
                return
