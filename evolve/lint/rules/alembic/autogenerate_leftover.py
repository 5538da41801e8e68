"""EV720: the comments that autogenerate left for a reviewer."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class AutogenerateLeftover(Rule):
    id = "EV720"
    name = "autogenerate-leftover"
    severity = Severity.INFO
    opt_in = True
    why = "autogenerate guesses: it takes a rename for a drop and an add, and misses checks, enum values and triggers"

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.LEFTOVER:
            yield self.finding_at(
                remark.place,
                recording.revision,
                "the comment that asks for a review is still there",
                fix="read the revision, then take the comment away",
            )
