"""EV420: a foreign key that deletes rows by itself."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import LOOKS_AT, added
from evolve.sql import operations as op
from evolve.sql.steps import Step


class FkCascade(Rule):
    id = "EV420"
    name = "fk-cascade"
    severity = Severity.INFO
    opt_in = True
    looks_at = LOOKS_AT
    why = (
        "one DELETE then reaches rows of further tables that no statement names, in one transaction and however "
        "many they are; what goes by mistake goes with all that hangs on it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, constraint in added(step.operation, history):
            if isinstance(constraint, op.ForeignKey) and constraint.on_delete == "CASCADE":
                yield self.finding(
                    step,
                    f'deleting from "{constraint.target.plain}" deletes from "{table.plain}" as well',
                    fix='say ondelete="RESTRICT" and delete in batches, from the application',
                )
