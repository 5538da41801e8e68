"""EV257: `CREATE RULE` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class CreateRule(Rule):
    id = "EV257"
    name = "create-rule"
    severity = Severity.WARNING
    looks_at = (op.Other,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    why = (
        "a rule rewrites statements before they run: what an INSERT returns, how often its expressions are evaluated "
        "and how many rows it says it changed are no longer what code expects; use a trigger"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other(kind="CREATE RULE", target=QualifiedName() as table) if history.in_use(table):
                known = table in history.schema.tables or table in history.schema.views
                yield self.finding(
                    step,
                    f'statements over "{table.plain}" are rewritten by a rule',
                    table=table if known else None,
                )
            case _:
                return
