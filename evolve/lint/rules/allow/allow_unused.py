"""EV922: an allow comment that allows nothing."""

from __future__ import annotations

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Place


class AllowUnused(Rule):
    id = "EV922"
    name = "allow-unused"
    severity = Severity.WARNING
    why = "there is no such finding where it stands; left behind it would hide the next one"

    def about(self, place: Place, revision: str, name: str) -> Finding:
        return self.finding_at(
            place,
            revision,
            f"the comment allows {name}, and there is no such finding here",
            fix="remove the comment",
        )
