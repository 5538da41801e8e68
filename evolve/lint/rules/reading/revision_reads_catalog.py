"""EV903: what `upgrade()` does depends on the catalog that it reads."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class RevisionReadsCatalog(Rule):
    id = "EV903"
    name = "revision-reads-catalog"
    severity = Severity.INFO
    why = (
        "the answers came from the schema that the revisions before it make; on a database that differs "
        "other statements may run"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        same = [other for other in recording.remarks if other.mark is Mark.READ_CATALOG]
        if remark is next(iter(same), None):  # a loop over tables asks many times, and means one thing
            more = f", and {len(same) - 1} times more" if len(same) > 1 else ""
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"what upgrade() does depends on the catalog it reads: {remark.detail}{more}",
                fix="write the statements without asking, or with IF [NOT] EXISTS",
            )
