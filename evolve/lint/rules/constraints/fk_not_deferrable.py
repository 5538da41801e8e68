"""EV626: a foreign key that is checked at the end of each statement."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import LOOKS_AT, added
from evolve.sql import operations as op
from evolve.sql.steps import Step


class FkNotDeferrable(Rule):
    id = "EV626"
    name = "fk-not-deferrable"
    severity = Severity.INFO
    opt_in = True
    looks_at = LOOKS_AT
    why = (
        "rows that point at each other cannot be written in one transaction, and a load must follow the order of the "
        "tables; DEFERRABLE costs nothing until a transaction asks for it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, constraint in added(step.operation, history):
            if isinstance(constraint, op.ForeignKey) and not constraint.deferrable:
                yield self.finding(
                    step,
                    f'the foreign key from "{table.plain}" to "{constraint.target.plain}" cannot be deferred',
                    fix='say deferrable=True, initially="IMMEDIATE"',
                )
