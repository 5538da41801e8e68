"""EV613: a change of type that PostgreSQL makes only with USING."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.changed_type import changed_type
from evolve.sql import operations as op
from evolve.sql.names import quote
from evolve.sql.steps import Step


class AlterTypeNeedsUsing(Rule):
    id = "EV613"
    name = "alter-type-needs-using"
    severity = Severity.ERROR
    looks_at = (op.AlterColumnType,)
    fails = True
    why = (
        "PostgreSQL turns values of one type into another by itself only where they mean the same; autogenerate "
        "does not see that and writes a revision that fails in every environment"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        changed = changed_type(step, history)
        if changed is not None and changed.needs_using and changed.blocked is None:
            yield self.finding(
                step,
                f"changing {changed} fails without USING: there is no automatic cast",
                table=changed.table,
                fix=f'postgresql_using="{quote(changed.column)}::{changed.operation.type}", or an expression that '
                "computes the new value",
            )
