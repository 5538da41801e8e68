"""EV233: a constraint that running code may call by its name gets another."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class RenameConstraint(Rule):
    id = "EV233"
    name = "rename-constraint"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.RenameConstraint,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    breaks_new_code = True
    why = (
        "ON CONFLICT ON CONSTRAINT fails where the name is not there, and code that tells errors apart by the name of "
        "the constraint takes them for unknown ones"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.RenameConstraint(table, name, to) if history.in_use(table):
                yield self.finding(
                    step, f'constraint "{name}" of "{table.plain}" turns into "{to}" at once', table=table
                )
            case _:
                return
