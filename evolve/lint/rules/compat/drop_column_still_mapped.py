"""EV281: what is dropped is still mapped by the models."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.compat.dropped import Dropped, dropped
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropColumnStillMapped(Rule):
    id = "EV281"
    name = "drop-column-still-mapped"
    severity = Severity.ERROR
    looks_at = (op.DropColumn, op.DropTable)
    peers = ("zdm:R005",)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "SQLAlchemy names every mapped column in SELECT and INSERT: all of them fail from then on, and the data are "
        "gone. First deploy a release whose models leave it out; drop it one release later"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        found = self._found(step, history)
        if found is not None:
            where = f"the models ({found.where})"
            yield self.finding(
                step, f"{found} is dropped while {found.class_} in {where} still maps it", table=found.table
            )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        """The general rules know less."""
        return ("drop-column", "drop-table") if self._found(step, history) else ()

    def _found(self, step: Step, history: History) -> Dropped | None:
        found = dropped(step, history)
        return found if found is not None and found.new is not False else None
