"""EV905: `upgrade()` calls an `op.…` that evolve does not know."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class UnknownOperation(Rule):
    id = "EV905"
    name = "unknown-operation"
    severity = Severity.WARNING
    why = "what it would send is not known, so its locks are not known either; review it by hand"

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.UNKNOWN_OPERATION:
            psql = remark.detail.startswith("\\")
            told = (
                "a command of psql is not read"
                if psql
                else "upgrade() calls an operation that evolve does not know"
            )
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"{told}: {remark.detail}",
                fix="review it, and allow it with a reason",
            )
