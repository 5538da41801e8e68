"""EV658: a revision imports models of the application."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class ModelImport(Rule):
    id = "EV658"
    name = "alembic-model-import"
    severity = Severity.WARNING
    peers = ("zdm:R014",)
    why = (
        "models follow the newest schema, a revision the schema of its day: once a column is added or dropped, the old "
        "revision fails on every new database, or writes what it never meant to"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.IMPORTS_MODELS:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"it imports {remark.detail}, which maps tables",
                fix="write down the tables that the revision needs with sa.table() and sa.column()",
            )
