"""A lint report in SARIF 2.1.0, which code scanning reads: findings at their places, and the rules' own pages.

Paths start from SRCROOT, the top of the repository, which a reader of the file knows and the file does not tell.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from evolve import __version__
from evolve.lint.demands import Demands
from evolve.lint.model import Finding, Report, Severity, Suppressed
from evolve.lint.rule import Rule
from evolve.report.fingerprints import fingerprints
from evolve.report.json import compatibility as compatibility_data
from evolve.report.legible import to_json
from evolve.report.sizes import facts_lines
from evolve.report.source import source_line
from evolve.report.verdict import in_one_line, shortfall
from evolve.report.wording import coverage_line, explanation, headline, path_below
from evolve.sql.steps import Place

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_FINGERPRINT = "evolveFinding/v1"  # another way to make them needs another number
_ROOT = "SRCROOT"

Json = dict[str, object]


def render(
    report: Report,
    *,
    root: Path,
    rules: Sequence[Rule],
    docs_url: str | None = None,
    demands: Demands | None = None,
) -> str:
    """One run. What is allowed is a result that is suppressed; gaps, verdict and server are notifications too.

    Args:
        root: of the repository, which paths start from.
        rules: all that there are; those that found something are told with their pages.
        docs_url: where the site of evolve's pages is published; without it rules have no helpUri.
        demands: where the compatibility falls short of them, its notification is an error.
    """
    named = list(fingerprints(report, root))
    known = {rule.id: rule for rule in rules}
    asked = sorted({finding.rule for finding, _, _ in named})
    told = [_rule(known[rule], docs_url) if rule in known else {"id": rule} for rule in asked]
    results = [
        _result(finding, asked.index(finding.rule), fingerprint, allowed, root)
        for finding, allowed, fingerprint in named
    ]
    driver: Json = {
        "name": "evolve lint",
        "version": __version__,
        "rules": told,
    }
    if docs_url:
        driver["informationUri"] = docs_url
    run: Json = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"description": {"text": "the top of the repository"}}},
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": list(_notifications(report, demands or Demands(), root)),
            }
        ],
        "results": results,
        "properties": _properties(report),
    }
    return to_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(rule: Rule, docs_url: str | None) -> Json:
    described: Json = {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.title}\n\n{rule.why}\n\nevolve explain {rule.id}", "markdown": rule.page},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "tags": ["postgresql", "migration", rule.name],
            "problem.severity": _LEVELS[rule.severity],
        },
    }
    if docs_url and rule.comes_with_evolve:
        described["helpUri"] = f"{docs_url.rstrip('/')}/rules/{rule.id}.html"
    return described


def _result(finding: Finding, index: int, fingerprint: str, allowed: Suppressed | None, root: Path) -> Json:
    result: Json = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": explanation(finding)},
        "locations": [_location(finding.place, root)],
        "partialFingerprints": {_FINGERPRINT: fingerprint},
        "properties": {
            "revision": finding.revision,
            "direction": finding.direction,
            "breaks_old_code": finding.breaks_old_code,
            "breaks_new_code": finding.breaks_new_code,
        },
    }
    if allowed is not None:
        in_source = allowed.by == "comment"
        suppression: Json = {
            "kind": "inSource" if in_source else "external",
            "status": "accepted",
            "justification": allowed.reason,
        }
        if allowed.place is not None:
            suppression["location"] = _location(allowed.place, root)
        result["suppressions"] = [suppression]
    return result


def _location(place: Place, root: Path) -> Json:
    region: Json = {"startLine": max(place.line, 1)}
    if (line := source_line(place)) is not None:
        region |= {
            "startColumn": line.first + 1,
            "endColumn": line.last + 1,
            "snippet": {"text": line.text[line.first : line.last]},
        }
    return {"physicalLocation": {"artifactLocation": _artifact(place.file, root), "region": region}}


def _artifact(file: Path, root: Path) -> Json:
    path = path_below(root, file)
    uri = quote(os.fsencode(path))
    return {"uri": f"file://{uri}"} if path.startswith("/") else {"uri": uri, "uriBaseId": _ROOT}


def _notifications(report: Report, demands: Demands, root: Path) -> Iterator[Json]:
    yield _notification("note", headline(report))
    for note in report.notes:
        yield _notification("note", note)
    if report.coverage.revisions:
        yield _notification("note", coverage_line(report.coverage))
    if report.compatibility is not None and report.compatibility.whole is not None:
        yield _notification("note", in_one_line(report.compatibility.whole))
    if demands.required is not None and (unmet := demands.unmet_by(report)):
        yield _notification("error", shortfall(demands.required, unmet))
    if report.facts is not None:
        for line in facts_lines(report, report.facts):
            yield _notification("note", line)
    if report.verification is not None:
        for difference in report.verification.differences:
            said = f"the server differs: {difference.message}: {difference.statement.sql}"
            yield _notification("error", said) | {"locations": [_location(difference.statement.place, root)]}
        for note in report.verification.notes:
            yield _notification("warning", f"not verified: {note}")


def _notification(level: str, text: str) -> Json:
    return {"level": level, "message": {"text": text}}


def _properties(report: Report) -> Json:
    if report.compatibility is None:
        return {}
    return {"compatibility": compatibility_data(report.compatibility)}
