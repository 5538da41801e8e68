"""EV637: rights are given."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class Grant(Rule):
    id = "EV637"
    name = "grant"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.Other,)
    why = "who may read and write what is worth a second pair of eyes; what is granted to public, every role has"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        del history
        match step.operation:
            case op.Other(kind="GRANT", target=target, detail=roles):
                name = f' on "{target.plain}"' if target is not None else ""
                yield self.finding(step, f"rights{name} are given to {roles}")
            case op.Other(kind="GRANT ROLE"):
                yield self.finding(step, "the membership of a role changes")
            case _:
                return
