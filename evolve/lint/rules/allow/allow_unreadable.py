"""EV925: a comment that begins with `# evolve:` and says nothing that evolve knows."""

from __future__ import annotations

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.allow.comment_sign import comment_sign
from evolve.sql.steps import Place


class AllowUnreadable(Rule):
    id = "EV925"
    name = "allow-unreadable"
    severity = Severity.ERROR
    why = "it allows nothing, though its author meant something by it"

    def about(self, place: Place, revision: str, text: str, problem: str = "") -> Finding:
        sign, why = comment_sign(place), f": {problem}" if problem else ""
        return self.finding_at(
            place,
            revision,
            f'"{sign} evolve: {text}" is not understood{why}',
            fix=f"{sign} evolve: allow[rule-name] because …, with until 2026-12-31 before because where it ends",
        )
