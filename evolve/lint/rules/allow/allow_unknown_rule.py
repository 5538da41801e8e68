"""EV923: an allow comment that names no rule."""

from __future__ import annotations

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Place


class AllowUnknownRule(Rule):
    id = "EV923"
    name = "allow-unknown-rule"
    severity = Severity.ERROR
    why = "there is no rule of that name, so the comment allows nothing"

    def about(self, place: Place, revision: str, name: str, nearest: str | None) -> Finding:
        return self.finding_at(
            place,
            revision,
            f'the comment allows "{name}", and there is no such rule',
            fix=f"did you mean {nearest}?" if nearest else "evolve explain lists all rules",
        )
