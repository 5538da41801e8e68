"""A lint report in the lines that editors know from compilers, `file:line:column: error: …`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evolve.lint.model import Report, Severity
from evolve.report.legible import one_line
from evolve.report.sizes import facts_lines
from evolve.report.source import source_line
from evolve.report.verdict import in_one_line
from evolve.report.wording import consequences, coverage_line, headline, path_below
from evolve.sql.steps import Place

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(report: Report, *, root: Path) -> str:
    """One line for each finding and one for its command; the last ones are about the whole and name no file.

    Args:
        root: which paths start from; editors ask for the directory they were started in.
    """
    return "\n".join(map(one_line, _lines(report, root)))


def _lines(report: Report, root: Path) -> Iterator[str]:
    for finding in report.findings:
        where = _where(finding.place, root)
        yield f"{where}: {_LEVELS[finding.severity]}: {finding.message} [{finding.rule} {finding.name}]"
        for label, text in consequences(finding):
            yield f"{where}: note: {label}: {text}"
        if finding.fix:
            yield f"{where}: note: fix: {finding.fix}"
    for difference in report.verification.differences if report.verification else ():
        where = _where(difference.statement.place, root)
        yield f"{where}: error: the server differs: {difference.message} [verification]"
    yield from (f"evolve: note: {note}" for note in report.notes)
    if report.compatibility is not None and report.compatibility.whole is not None:
        yield f"evolve: note: {in_one_line(report.compatibility.whole)}"
    if report.facts is not None:
        yield from (f"evolve: note: {line}" for line in facts_lines(report, report.facts))
    read = f"; {coverage_line(report.coverage)}" if report.coverage.revisions else ""
    yield f"evolve: note: {headline(report)}{read}"


def _where(place: Place, root: Path) -> str:
    line = source_line(place)
    return f"{path_below(root, place.file)}:{max(place.line, 1)}:{line.first + 1 if line is not None else 1}"
