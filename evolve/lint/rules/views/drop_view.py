"""EV249: `DROP VIEW` of a view in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.views.recreated import view_again
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropView(Rule):
    id = "EV249"
    name = "drop-view"
    severity = Severity.WARNING
    peers = ("squawk:ban-drop-view",)
    looks_at = (op.DropView,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    answered_by_gate = True
    why = "code that still reads it fails; drop it one release after the last code that used it"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropView(view=view, materialized=materialized) if history.in_use(view):
                if view_again(step, view, history) is None:
                    what = "materialized view" if materialized else "view"
                    known = view in history.schema.views
                    yield self.finding(
                        step, f'the {what} "{view.plain}" is dropped', table=view if known else None
                    )
            case _:
                return
