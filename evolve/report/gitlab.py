"""A lint report as GitLab's code quality widget reads it: a list of issues, known again by their fingerprints."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from evolve.lint.demands import Demands
from evolve.lint.model import Report, Severity
from evolve.lint.verdict import Level
from evolve.report.fingerprints import digest, fingerprints
from evolve.report.legible import one_line, to_json
from evolve.report.verdict import in_one_line
from evolve.report.wording import explanation, path_below
from evolve.sql.steps import Place

_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.INFO: "info"}


class Lines(TypedDict):
    begin: int


class Location(TypedDict):
    path: str
    lines: Lines


class Content(TypedDict):
    body: str


class Issue(TypedDict):
    type: str
    check_name: str
    description: str
    content: Content
    categories: list[str]
    severity: str
    fingerprint: str
    location: Location


def render(report: Report, *, root: Path, demands: Demands | None = None) -> str:
    """Findings, what a server did otherwise, and the compatibility unless it is FULL; what is allowed is no issue.

    Args:
        root: of the repository, which paths start from.
        demands: where the compatibility falls short of them, it is critical.
    """
    issues = [
        _issue(
            f"{finding.rule} {finding.name}",
            finding.message,
            explanation(finding),
            _SEVERITIES[finding.severity],
            fingerprint,
            finding.place,
            root,
        )
        for finding, allowed, fingerprint in fingerprints(report, root)
        if allowed is None
    ]
    for number, difference in enumerate(report.verification.differences if report.verification else ()):
        sent = difference.statement
        known = digest("verification", difference.revision, difference.message, sent.sql, str(number))
        said = f"the server differs: {difference.message}"
        issues.append(_issue("verification", said, sent.sql, "critical", known, sent.place, root))
    whole = report.compatibility.whole if report.compatibility is not None else None
    if whole is not None and whole.level is not Level.FULL and report.files:
        # An issue needs a file; the newest revision is the one that a reader opens.
        file = report.files[-1][1]
        severity = "critical" if demands is not None and demands.unmet_by(report) else "info"
        known = digest("compatibility", whole.level.value, *whole.revisions)
        said = in_one_line(whole)
        reasons = "\n".join((*whole.old, *whole.new))
        issues.append(_issue("compatibility", said, reasons, severity, known, Place(file, 0), root))
    return to_json(issues)


def _issue(
    name: str, message: str, body: str, severity: str, fingerprint: str, place: Place, root: Path
) -> Issue:
    return Issue(
        type="issue",
        check_name=name,
        description=one_line(f"{name}: {message}"),
        content=Content(body=body),
        categories=["Bug Risk"],
        severity=severity,
        fingerprint=fingerprint,
        location=Location(path=path_below(root, place.file), lines=Lines(begin=max(place.line, 1))),
    )
