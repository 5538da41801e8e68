"""EV251: a view in use is made anew without some of its columns."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.views.recreated import view_again
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DropViewColumn(Rule):
    id = "EV251"
    name = "drop-view-column"
    severity = Severity.ERROR
    looks_at = (op.DropView,)
    breaks_old_code = True
    answered_by_gate = True
    why = "code that reads such a column fails; drop it one release after the last code that used it"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropView(view=view) if history.in_use(view):
                again = view_again(step, view, history)
                known = history.schema.views.get(view)
                if again is None or known is None or not isinstance(again.operation, op.CreateView):
                    return
                left = again.operation.columns
                lost = [column for column in known.columns or () if left is not None and column not in left]
                if lost:
                    yield self.finding(again, f'"{view.plain}" comes back without {listed(lost)}')
            case _:
                return
