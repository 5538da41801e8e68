"""A lint report as JUnit's XML: one test case for each revision, which fails where the exit status would be 1."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from evolve.lint.demands import Demands
from evolve.lint.model import Finding, Report, Suppressed
from evolve.lint.verdict import Verdict
from evolve.lint.verification import Verification
from evolve.report import verification
from evolve.report.legible import legible, one_line
from evolve.report.verdict import in_one_line, shortfall
from evolve.report.wording import coverage_line, explanation, headline, path_below, place_below


def render(report: Report, *, root: Path, demands: Demands | None = None) -> str:
    """What does not make the exit status 1, and what is allowed, stands in the test case's output.

    Args:
        root: of the repository, which paths start from.
        demands: what makes the exit status 1.
    """
    demands = demands or Demands()
    cases = list(_cases(report, root, demands))
    failed = sum(case.find("failure") is not None for case in cases)
    numbers = {"tests": str(len(cases)), "failures": str(failed), "errors": "0", "skipped": "0", "time": "0"}
    suites = ET.Element("testsuites", {"name": "evolve lint", **numbers})
    suite = ET.SubElement(suites, "testsuite", {"name": "evolve lint", **numbers})
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(properties, "property", {"name": name, "value": one_line(value)})
    suite.extend(cases)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}'


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    yield "findings", headline(report)
    yield "coverage", coverage_line(report.coverage)
    if report.compatibility is not None and report.compatibility.whole is not None:
        yield "compatibility", report.compatibility.whole.level.value
        yield "deployment", report.compatibility.whole.order.value
    for note in report.notes:
        yield "note", note
    if report.facts is not None:
        yield "facts", f"{report.facts.taken}"


def _cases(report: Report, root: Path, demands: Demands) -> Iterator[ET.Element]:
    files = dict(report.files)
    findings: dict[str, list[Finding]] = {revision: [] for revision in files}
    allowed: dict[str, list[Suppressed]] = {revision: [] for revision in files}
    for finding in report.findings:
        findings.setdefault(_subject(finding), []).append(finding)
    for item in report.suppressed:
        # What a baseline knows is many, and nobody has decided anything about it.
        if item.by != "baseline":
            allowed.setdefault(_subject(item.finding), []).append(item)
    for other in (*report.findings, *(item.finding for items in allowed.values() for item in items)):
        files.setdefault(_subject(other), other.place.file)
    for subject, file in files.items():
        told, accepted = findings.get(subject, []), allowed.get(subject, [])
        path = path_below(root, file)
        yield _revision(path if subject == str(file) else subject, path, told, accepted, root, demands)
    if report.compatibility is not None and report.compatibility.whole is not None:
        yield _compatibility(report.compatibility.whole, demands, demands.unmet_by(report))
    if report.verification is not None:
        yield _verification(report.verification, root)


def _subject(finding: Finding) -> str:
    """Its revision; the file of settings, or the baseline, that it is about where it has none."""
    return finding.revision or str(finding.place.file)


def _revision(
    name: str,
    path: str,
    findings: Collection[Finding],
    allowed: Collection[Suppressed],
    root: Path,
    demands: Demands,
) -> ET.Element:
    case = _case(name, file=path)
    # Many readers show the first failure alone.
    for finding in sorted(findings, key=lambda each: -each.severity):
        if demands.forbid(finding):
            rule = f"{finding.rule} {finding.name}"
            _fail(
                case,
                rule,
                f"{rule}: {finding.message}",
                f"{place_below(root, finding.place)}: {explanation(finding)}",
            )
    told = [
        f"{place_below(root, each.place)}: {each.severity} {each.rule} {each.name}: {explanation(each)}"
        for each in findings
        if not demands.forbid(each)
    ]
    told += [
        f"{place_below(root, item.finding.place)}: allowed {item.finding.rule} {item.finding.name}: "
        f"{item.finding.message}\nbecause: {item.reason}"
        for item in allowed
    ]
    _say(case, told)
    return case


def _compatibility(whole: Verdict, demands: Demands, unmet: tuple[Verdict, ...]) -> ET.Element:
    case = _case("compatibility")
    if demands.required is not None and unmet:
        said = f"{demands.required.value} is required"
        _fail(case, "compatibility", said, shortfall(demands.required, unmet))
    _say(case, [in_one_line(whole)])
    return case


def _verification(verified: Verification, root: Path) -> ET.Element:
    case = _case("verification")
    for difference in verified.differences:
        sent = difference.statement
        said = f"the server differs: {difference.message}"
        _fail(
            case, "verification", said, f"{place_below(root, sent.place)}: {difference.message}\n{sent.sql}"
        )
    _say(case, [*(f"not verified: {note}" for note in verified.notes), verification.summary(verified)])
    return case


def _case(name: str, **attributes: str) -> ET.Element:
    given = {"classname": "evolve.lint", "name": name, "time": "0", **attributes}
    return ET.Element("testcase", {key: one_line(value) for key, value in given.items()})


def _fail(case: ET.Element, kind: str, message: str, text: str) -> None:
    failure = ET.SubElement(case, "failure", {"type": one_line(kind), "message": one_line(message)})
    failure.text = legible(text)


def _say(case: ET.Element, texts: Collection[str]) -> None:
    if texts:
        ET.SubElement(case, "system-out").text = legible("\n\n".join(texts))
