"""A lint report as workflow commands, which GitHub shows as annotations of a run and of a pull request's lines.

Each is one line, `::error file=…,line=…,title=…::…`; between the colons and in the text other signs are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evolve.lint.demands import Demands
from evolve.lint.model import Report, Severity
from evolve.lint.verdict import Level
from evolve.report.legible import legible, one_line
from evolve.report.sizes import facts_lines
from evolve.report.source import source_line
from evolve.report.verdict import in_one_line, shortfall
from evolve.report.wording import count, coverage_line, explanation, headline, path_below
from evolve.sql.steps import Place

SHOWN = 10  # annotations of each level that GitHub shows of one step
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report, *, root: Path, demands: Demands | None = None) -> str:
    """One annotation for each finding, above them one for the whole; what needs no attention is a plain line.

    Args:
        root: of the repository, which paths start from.
        demands: what of the compatibility is an error.
    """
    return "\n".join(_lines(report, root, demands or Demands()))


def _lines(report: Report, root: Path, demands: Demands) -> Iterator[str]:
    summary = "\n".join(_summary(report))
    if needs_attention(report):
        yield _command("notice", {"title": f"evolve lint: {headline(report)}"}, summary)
    else:
        yield one_line(f"evolve lint: {headline(report)}. {summary}")
    if demands.required is not None and (unmet := demands.unmet_by(report)):
        title = f"evolve lint: {demands.required.value} is required"
        yield _command("error", {"title": title}, shortfall(demands.required, unmet))
    for finding in report.findings:
        title = f"{finding.rule} {finding.name}"
        where = {**_where(finding.place, root), "title": title}
        yield _command(_COMMANDS[finding.severity], where, explanation(finding))
    for difference in report.verification.differences if report.verification else ():
        where = {**_where(difference.statement.place, root), "title": "evolve lint --verify"}
        yield _command(
            "error", where, f"the server differs: {difference.message}\n{difference.statement.sql}"
        )


def needs_attention(report: Report) -> bool:
    """Whether there is more to say than that any order of deployment will do."""
    whole = report.compatibility.whole if report.compatibility is not None else None
    differs = report.verification is not None and bool(report.verification.differences)
    return bool(report.findings) or differs or (whole is not None and whole.level is not Level.FULL)


def _summary(report: Report) -> Iterator[str]:
    yield from report.notes
    if not report.coverage.revisions:
        return
    if report.compatibility is not None and report.compatibility.whole is not None:
        yield in_one_line(report.compatibility.whole)
    yield coverage_line(report.coverage)
    if report.facts is not None:
        yield from facts_lines(report, report.facts)
    for severity in sorted(Severity, reverse=True):
        if report.count(severity) > SHOWN:
            found = count(report.count(severity), str(severity))
            yield f"GitHub shows {SHOWN} of {found}; all are in the log of this step"


def _where(place: Place, root: Path) -> dict[str, str]:
    where = {"file": path_below(root, place.file)}
    if place.line:
        where["line"] = str(place.line)
    if (line := source_line(place)) is not None:
        where |= {"col": str(line.first + 1), "endColumn": str(line.last)}
    return where


def _command(name: str, properties: dict[str, str], text: str) -> str:
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {written}::{_data(text)}"


def _data(text: str) -> str:
    return legible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
