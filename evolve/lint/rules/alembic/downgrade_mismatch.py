"""EV663: after `downgrade()` the schema is another one than before `upgrade()`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Recording


class DowngradeMismatch(Rule):
    id = "EV663"
    name = "downgrade-mismatch"
    severity = Severity.WARNING
    why = (
        "who goes back and forward again meets what was left behind, or misses what is gone: the second upgrade "
        "fails, or the old release does"
    )

    def check_way_back(self, downgrade: Recording, left: Sequence[str]) -> Iterator[Finding]:
        if left:
            more = f", and {len(left) - 1} more" if len(left) > 1 else ""
            yield self.finding_at(
                downgrade.statements[0].place,
                downgrade.revision,
                f"downgrade() does not undo upgrade(): {left[0]}{more}",
                fix="take back there all that upgrade() does",
            )
