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

    def about(
        self, place: Place, revision: str, name: str, nearest: str | None, *, several: bool = False
    ) -> Finding:
        """
        Args:
            several: in the settings it would mean more than one rule.
        """
        if several:
            fix = "name each rule; what shall hold for a family stands in the settings"
        else:
            fix = f"did you mean {nearest}?" if nearest else "evolve explain lists all rules"
        return self.finding_at(
            place,
            revision,
            f'the comment allows "{name}", and there is no such rule',
            fix=fix,
        )
