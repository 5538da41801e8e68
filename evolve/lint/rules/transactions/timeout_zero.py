"""EV718: a timeout is switched off."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.session_settings import milliseconds
from evolve.sql import operations as op
from evolve.sql.steps import Step

_TIMEOUTS = frozenset({"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"})


class TimeoutZero(Rule):
    id = "EV718"
    name = "timeout-zero"
    severity = Severity.INFO
    looks_at = (op.SetParameter,)
    opt_in = True
    why = "0 is no limit: the limit that the project or the role has set does not hold any more"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.SetParameter(name=name, value=str(value)) if (
                name in _TIMEOUTS and milliseconds(value) == 0
            ):
                # A concurrent build takes as long as it takes, and blocks nobody.
                building = name == "statement_timeout" and any(
                    isinstance(later.operation, op.CreateIndex | op.Reindex) and later.operation.concurrently
                    for later in history.later()
                )
                if not building:
                    yield self.finding(step, f"{name} = 0 takes the limit away")
            case _:
                return
