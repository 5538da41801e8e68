"""EV283: a deferred column is dropped, which reads leave out and writes do not."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.compat.dropped import Dropped, dropped
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class CompatDeferredColumn(Rule):
    id = "EV283"
    name = "compat-deferred-column"
    severity = Severity.ERROR
    looks_at = (op.DropColumn,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "deferred() takes a column out of SELECT only: every INSERT of the running release still names it and fails "
        "from then on. Take it out of the model, deploy that, and drop it one release later"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        found = self._found(step, history)
        if found is not None:
            yield self.finding(
                step,
                f"{found} is dropped, which {found.class_} of the running release ({found.where}) defers, but still "
                "inserts",
                table=found.table,
            )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        """The general rule knows less."""
        return ("drop-column",) if self._found(step, history) else ()

    def _found(self, step: Step, history: History) -> Dropped | None:
        found = dropped(step, history)
        return found if found is not None and found.deferred and found.new is False else None
