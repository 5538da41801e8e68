"""EV262: a view or function in use is replaced by another one."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.made import new_function
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class ReplaceViewOrFunction(Rule):
    id = "EV262"
    name = "replace-view-or-function"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateView, op.CreateFunction)
    breaks_old_code = True
    answered_by_gate = True
    peers = ("squawk:ban-replace-view-function",)
    why = "code that runs gets other results from one statement to the next; it must be right with both"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateView(view=view, replace=True) if view in history.schema.views:
                if history.in_use(view):
                    yield self.finding(
                        step,
                        f'the view "{view.plain}" gets another query',
                        table=view,
                        lock=LockMode.ACCESS_EXCLUSIVE,
                    )
            case op.CreateFunction(function=function, replace=True) if function in history.schema.functions:
                if not new_function(history, function):
                    yield self.finding(step, f'the function "{function.plain}" gets another body')
            case _:
                return
