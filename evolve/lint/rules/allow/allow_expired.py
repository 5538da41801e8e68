"""EV924: an allow comment, or a setting, whose last day has passed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Place


class AllowExpired(Rule):
    id = "EV924"
    name = "allow-expired"
    severity = Severity.ERROR
    why = "the finding it allowed is reported again"

    def about(self, place: Place, revision: str, name: str, until: date) -> Finding:
        return self.finding_at(
            place,
            revision,
            f"the comment allowed {name} until {until:%Y-%m-%d}",
            fix="mend the revision, or give the comment a later day",
        )

    def about_setting(self, place: Place, words: Sequence[str], until: date) -> Finding:
        return self.finding_at(
            place,
            "",
            f"the setting allowed {', '.join(words)} until {until:%Y-%m-%d}",
            fix="mend the revisions, or give the setting a later day",
        )
