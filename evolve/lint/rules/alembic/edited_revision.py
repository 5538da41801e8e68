"""EV660: the code of a revision was changed after it was merged."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class EditedRevision(Rule):
    id = "EV660"
    name = "edited-applied-revision"
    severity = Severity.WARNING
    why = (
        "Alembic looks at ids only: a database that has applied the old code never runs the new one, and from then on "
        "differs from one made anew"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.EDITED:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"a revision that others may have applied was changed: {remark.detail}",
                fix="undo the change here, and put it into a new revision",
            )
