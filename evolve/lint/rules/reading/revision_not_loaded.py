"""EV908: the file of a revision could not be loaded."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class RevisionNotLoaded(Rule):
    id = "EV908"
    name = "revision-not-loaded"
    severity = Severity.ERROR
    why = "nothing in it was checked, and alembic upgrade would stop at it as well"

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.NOT_LOADED:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"the file cannot be loaded: {remark.detail}",
                fix="mend the file; python -m py_compile shows the error",
            )
