"""EV612: a change of type of a column that something else was made from."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.changed_type import changed_type
from evolve.sql import operations as op
from evolve.sql.steps import Step


class AlterTypeBlockedByView(Rule):
    id = "EV612"
    name = "alter-type-blocked-by-view"
    severity = Severity.ERROR
    looks_at = (op.AlterColumnType,)
    fails = True
    why = (
        "PostgreSQL refuses to change the type of a column that a view, a generated column or the partition key "
        "was made from, in every environment: drop the view before and create it again after, in the same "
        "revision"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        changed = changed_type(step, history)
        if changed is None or changed.blocked is None:
            return
        views = sorted(
            view.name.plain
            for view in history.schema.views.values()
            if (changed.table, changed.column) in view.uses
        )
        named = ": " + ", ".join(f'"{view}"' for view in views) if views else ""
        yield self.finding(step, f"{changed.blocked}{named}, so its type cannot change", table=changed.table)
