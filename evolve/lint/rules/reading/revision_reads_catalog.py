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
        if remark.mark is Mark.READ_CATALOG:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"what upgrade() does depends on the catalog it reads: {remark.detail}",
                fix="write the statements without asking, or with IF [NOT] EXISTS",
            )
