"""EV911: a revision tries to act on something other than its database."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class SideEffect(Rule):
    id = "EV911"
    name = "side-effect"
    severity = Severity.ERROR
    why = (
        "what a revision does to files, servers or processes is not undone when its transaction is rolled back; evolve "
        "refused it while reading, so what depends on it was not seen"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.SIDE_EFFECT:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"the revision tries to act on more than its database: {remark.detail}",
                fix="take it out of the revision, into a command that is run beside it",
            )
