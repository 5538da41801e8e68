"""EV250: a column of a view in use gets another name."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class RenameViewColumn(Rule):
    id = "EV250"
    name = "rename-view-column"
    severity = Severity.ERROR
    looks_at = (op.RenameViewColumn,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    breaks_new_code = True
    why = (
        "code that runs knows one of the two names; add a column of the new name at the end of the view, and drop "
        "the old one later"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.RenameViewColumn(view=view, column=column, to=to) if history.in_use(view):
                known = view in history.schema.views
                yield self.finding(
                    step,
                    f'"{view.plain}.{column}" becomes "{to}" at one instant, and no code knows both names',
                    table=view if known else None,
                )
            case _:
                return
