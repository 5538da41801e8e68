"""EV906: an operation in the source was never reached."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class UnreachedOperation(Rule):
    id = "EV906"
    name = "unreached-operation"
    severity = Severity.WARNING
    why = (
        "it stands behind a condition that was false while the revision was read, and may run on another "
        "database; it was not checked"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.UNREACHED:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"an operation in the source was never reached: {remark.detail}",
                fix="review it, and allow it with a reason",
            )
