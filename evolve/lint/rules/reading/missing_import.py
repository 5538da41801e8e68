"""EV904: `upgrade()` uses a module that could not be imported."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class MissingImport(Rule):
    id = "EV904"
    name = "missing-import"
    severity = Severity.WARNING
    why = (
        "a stand-in that does nothing took the place of the module, so statements that it would send were "
        "not seen; a revision that imports the application also breaks when the application changes"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.TOUCHED_STUB:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"upgrade() uses a module that could not be imported: {remark.detail}",
                fix="copy what the revision needs into it, or run evolve where the module is installed",
            )
