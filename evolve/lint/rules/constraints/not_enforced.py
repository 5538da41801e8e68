"""EV422: a constraint that PostgreSQL is told not to enforce."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import LOOKS_AT, added
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class NotEnforced(Rule):
    id = "EV422"
    name = "not-enforced"
    severity = Severity.WARNING
    looks_at = (*LOOKS_AT, op.AlterTableOther)
    why = (
        "unlike NOT VALID it checks neither old rows nor new ones: it reads like a guarantee and is a comment"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table, "alter constraint not enforced", name):
                yield self._finding(step, table, name)
            case _:
                for table, constraint in added(step.operation, history):
                    if isinstance(constraint, op.Check | op.ForeignKey) and not constraint.enforced:
                        yield self._finding(step, table, constraint.name)

    def _finding(self, step: Step, table: QualifiedName, name: str | None) -> Finding:
        named = f'constraint "{name}"' if name else "a constraint"
        return self.finding(
            step,
            f'{named} of "{table.plain}" is not enforced: every row is accepted',
            fix="say NOT VALID instead, which checks new rows from now on, and validate it later",
        )
