"""EV921: an allow comment that gives no reason."""

from __future__ import annotations

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.allow.comment_sign import comment_sign
from evolve.sql.steps import Place


class AllowWithoutReason(Rule):
    id = "EV921"
    name = "allow-without-reason"
    severity = Severity.ERROR
    why = (
        "whoever reads the revision later must know what made the hazard acceptable; without a reason the "
        "comment allows nothing"
    )

    def about(self, place: Place, revision: str, name: str) -> Finding:
        return self.finding_at(
            place,
            revision,
            f"the comment allows {name} without a reason",
            fix=f"{comment_sign(place)} evolve: allow[{name}] because …",
        )
