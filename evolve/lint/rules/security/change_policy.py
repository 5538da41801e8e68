"""EV636: a policy of a table in use is made or changed."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class ChangePolicy(Rule):
    id = "EV636"
    name = "change-policy"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreatePolicy, op.AlterPolicy)
    lock = LockMode.ACCESS_EXCLUSIVE
    peers = (
        "squawk:ban-create-policy",
        "squawk:ban-alter-policy-condition",
        "squawk:ban-alter-policy-roles",
    )
    why = (
        "which rows running code sees and may write changes, and no error says so: it must be right with both"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreatePolicy(table=table, name=name, permissive=permissive) if history.in_use(table):
                reach = "more rows are" if permissive else "fewer rows are"
                yield self.finding(
                    step,
                    f'{reach} seen or written in "{table.plain}" with the policy "{name}"',
                    table=table,
                    breaks_old_code=not permissive,
                )
            case op.AlterPolicy(table=table, name=name, to=None) if history.in_use(table):
                yield self.finding(
                    step,
                    f'the policy "{name}" lets others see or write rows of "{table.plain}"',
                    table=table,
                    breaks_old_code=True,
                )
            case _:
                return
