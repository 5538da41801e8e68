"""EV661: `upgrade()` changes the schema and `downgrade()` does not change it back."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class NoDowngrade(Rule):
    id = "EV661"
    name = "alembic-no-downgrade"
    severity = Severity.INFO
    opt_in = True
    peers = ("zdm:R012", "zdm:R013")
    why = "there is no way back but a new revision, and `alembic downgrade` passes over it as if it had been undone"

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.NO_DOWNGRADE:
            yield self.finding_at(
                remark.place,
                recording.revision,
                remark.detail,
                fix="write one, or use evolve plan, whose phases all go back",
            )
