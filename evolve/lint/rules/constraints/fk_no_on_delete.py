"""EV625: a foreign key that does not say what happens when the row it points at goes."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import LOOKS_AT, added
from evolve.sql import operations as op
from evolve.sql.steps import Step


class FkNoOnDelete(Rule):
    id = "EV625"
    name = "fk-no-on-delete"
    severity = Severity.INFO
    opt_in = True
    looks_at = LOOKS_AT
    why = "without ON DELETE a delete of the other row fails, and nobody can tell whether that was meant"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, constraint in added(step.operation, history):
            if isinstance(constraint, op.ForeignKey) and constraint.on_delete is None:
                yield self.finding(
                    step,
                    f'the foreign key from "{table.plain}" ({", ".join(constraint.columns)}) to '
                    f'"{constraint.target.plain}" does not say what happens on delete',
                    fix='say ondelete="RESTRICT", "SET NULL" or "CASCADE"',
                )
