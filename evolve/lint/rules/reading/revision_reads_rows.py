"""EV902: what `upgrade()` does depends on rows that it reads."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class RevisionReadsRows(Rule):
    id = "EV902"
    name = "revision-reads-rows"
    severity = Severity.INFO
    why = (
        "evolve answers with no rows, or with made-up ones where upgrade() fails without; statements that would be "
        "sent for the rows that exist were not seen, and reading and writing rows belongs in a backfill"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        same = [other for other in recording.remarks if other.mark is Mark.READ_ROWS]
        if remark is next(iter(same), None):  # a loop over tables asks many times, and means one thing
            more = f", and {len(same) - 1} times more" if len(same) > 1 else ""
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"what upgrade() does depends on rows it reads: {remark.detail}{more}",
                fix="move the work on rows to a backfill: evolve backfill --help",
            )
