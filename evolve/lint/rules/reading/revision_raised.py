"""EV901: `upgrade()` raised an exception while it was read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class RevisionRaised(Rule):
    id = "EV901"
    name = "revision-raised"
    severity = Severity.WARNING
    why = (
        "evolve runs upgrade() against a database that holds no rows; what comes after the exception was "
        "not seen, so hazards there are not reported"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is not Mark.RAISED:
            return
        if any(other.mark is Mark.SIDE_EFFECT and other.place == remark.place for other in recording.remarks):
            # Its own rule says what was refused, and no row would change that.
            refused = "upgrade() was read only to this line, where evolve refused what it tries to do"
            yield replace(
                self.finding_at(remark.place, recording.revision, refused),
                why="what comes after it was not seen, so hazards there are not reported",
            )
        else:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"upgrade() was read only to this line: {remark.detail}",
                fix="let upgrade() work on an empty database, or allow it with a reason",
            )
