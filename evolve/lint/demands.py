"""What a report must not say for the exit status to be 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolve.lint.model import Finding, Report, Severity
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.lint.verdict import Level, Verdict


@dataclass(frozen=True, slots=True)
class Demands:
    """
    Args:
        fail_on: the least severe finding that is too much.
        strict: what could not be read is too much as well.
        required: the compatibility that the revisions must have.
    """

    fail_on: Severity = Severity.ERROR
    strict: bool = False
    required: Level | None = None

    def met_by(self, report: Report) -> bool:
        gaps = self.strict and report.has_gaps
        return not (report.blocks(self.fail_on) or gaps or self.unmet_by(report))

    def forbid(self, finding: Finding) -> bool:
        return finding.severity >= self.fail_on or (self.strict and finding.is_gap)

    def unmet_by(self, report: Report) -> tuple[Verdict, ...]:
        """The verdicts that fall short of the required compatibility."""
        if self.required is None or report.compatibility is None:
            return ()
        return report.compatibility.unmet(self.required)
