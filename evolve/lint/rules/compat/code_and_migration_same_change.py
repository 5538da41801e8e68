"""EV282: one change takes something out of the models and out of the database."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.compat.dropped import Dropped, dropped
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class CodeAndMigrationSameChange(Rule):
    id = "EV282"
    name = "code-and-migration-same-change"
    severity = Severity.ERROR
    looks_at = (op.DropColumn, op.DropTable)
    peers = ("zdm:R008",)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "the release that runs while this is applied still maps it, and its SELECT and INSERT fail from then on, as do "
        "those of that release after a rollback. Ship the change of the models alone; drop it one release later"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        found = self._found(step, history)
        if found is not None:
            if found.column is None:
                told = f"takes {found.class_} out of the models; the running release ({found.where}) still maps it"
            else:
                told = f"takes it out of {found.class_}; the running release ({found.where}) still maps it"
            yield self.finding(
                step,
                f"{found} is dropped by the change that {told}",
                table=found.table,
            )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        """The general rules know less."""
        return ("drop-column", "drop-table") if self._found(step, history) else ()

    def _found(self, step: Step, history: History) -> Dropped | None:
        found = dropped(step, history)
        return (
            found if found is not None and found.old and found.new is False and not found.deferred else None
        )
