"""EV907: `upgrade()` did not end in time while it was read."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class RevisionTimedOut(Rule):
    id = "EV907"
    name = "revision-timed-out"
    severity = Severity.WARNING
    why = (
        "a loop that ends when no rows are left may never end where there are none; what comes after it was"
        " not seen"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.TIMED_OUT:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"upgrade() did not end in time: {remark.detail}",
                fix="move the work on rows to a backfill: evolve backfill --help",
            )
