"""EV717: a timeout so long that the queue behind the revision is noticed first."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.session_settings import milliseconds
from evolve.sql import operations as op
from evolve.sql.steps import Step

_LONGEST = {
    "lock_timeout": 10_000,
    "idle_in_transaction_session_timeout": 300_000,
    "statement_timeout": 3_600_000,
}


class TimeoutTooLong(Rule):
    id = "EV717"
    name = "timeout-too-long"
    severity = Severity.INFO
    looks_at = (op.SetParameter,)
    opt_in = True
    why = "while a statement waits for its lock, everybody who wants the table waits behind it"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.SetParameter(name=name, value=str(value)) if name in _LONGEST:
                length = milliseconds(value)
                if length is not None and length > _LONGEST[name]:
                    yield self.finding(
                        step,
                        f"{name} is {value}: more than {_LONGEST[name] // 1000} seconds",
                        fix="wait shortly and try again, as evolve upgrade does",
                    )
            case _:
                return
