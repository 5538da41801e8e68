"""EV631: row-level security on a table that has no policy."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.security.policies import may_have_policies
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class RlsNoPolicy(Rule):
    id = "EV631"
    name = "rls-no-policy"
    severity = Severity.WARNING
    looks_at = (op.AlterTableOther,)
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "without a policy nobody but the owner and superusers sees a row or may write one, and queries return "
        "nothing rather than an error; make the policies in the same revision, before"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table=table, clause="enable row level security"):
                if not may_have_policies(table, history):
                    used = history.in_use(table)
                    yield self.finding(
                        step,
                        f'"{table.plain}" has no policy: it is empty for every role but its owner',
                        table=table if used else None,
                        severity=Severity.ERROR if used else None,
                        breaks_old_code=used,
                    )
            case _:
                return
