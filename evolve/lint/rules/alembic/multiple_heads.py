"""EV659: two revisions build on the same one, and nothing joins them."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class MultipleHeads(Rule):
    id = "EV659"
    name = "alembic-multiple-heads"
    severity = Severity.WARNING
    why = "with two heads `alembic upgrade head` is refused, and which of the two runs first differs between databases"

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.FORKED:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"it makes a second head: {remark.detail}",
                fix="rebase it (set down_revision to the other head), or run: alembic merge heads",
            )
