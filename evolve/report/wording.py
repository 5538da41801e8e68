"""What every format says of a finding and of a report in the same words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from evolve.lint.model import Coverage, Finding, Report, Severity
from evolve.report.sizes import weight_text
from evolve.sql.steps import Place


def consequences(finding: Finding) -> Iterator[tuple[str, str]]:
    """What it does to those who use the database: a label and words."""
    if finding.versions:
        yield "only on", f"PostgreSQL {' and '.join(map(str, finding.versions))}"
    if finding.lock is not None:
        work = "rewrites the table" if finding.rewrite else "reads every row" if finding.scan else ""
        blocks = f"blocks {finding.lock.mode.blocks}"
        yield "lock", f"{finding.lock}: {blocks}" + (f" while it {work}" if work else "")
    if finding.weight is not None:
        yield "size", weight_text(finding, finding.weight)
    if finding.fails:
        yield "fails", "PostgreSQL refuses the statement"
    breaks = [
        words
        for broken, words in (
            (finding.breaks_old_code, "code of the previous release on the new schema"),
            (finding.breaks_new_code, "code of the next release on the old schema"),
        )
        if broken
    ]
    if breaks:
        yield "breaks", ", and ".join(breaks)


def safe_heading(finding: Finding) -> str:
    """What stands above its safe form, such as "safe, in 2 revisions"."""
    apart = "revisions" if _is_python(finding) else "transactions"
    return f"safe, in {len(finding.safe)} {apart}" if len(finding.safe) > 1 else "safe"


def safe_parts(finding: Finding) -> Iterator[tuple[str, str]]:
    """Each part of its safe form below a comment that numbers it; the comment is empty where there is one part."""
    for number, body in enumerate(finding.safe, 1):
        part = f"# revision {number}" if _is_python(finding) else f"-- transaction {number}"
        yield part if len(finding.safe) > 1 else "", body


def explanation(finding: Finding) -> str:
    """The whole finding as lines of plain text, without its place and its rule."""
    lines = [finding.message, *(f"{label}: {text}" for label, text in consequences(finding))]
    lines.append(f"why: {finding.why}")
    if finding.safe:
        lines.append(f"{safe_heading(finding)}:")
    for heading, body in safe_parts(finding):
        lines += [f"    {line}" for line in (heading, *body.splitlines()) if line]
    if finding.fix:
        lines.append(f"fix: {finding.fix}")
    return "\n".join(lines)


def headline(report: Report, style: Callable[[str, Severity | None], str] = lambda words, _: words) -> str:
    """Such as "2 errors, 1 warning, 3 allowed, 5 known to the baseline in 4 revisions".

    Args:
        style: gets the words for the findings of each severity, or None where there are none at all.
    """
    if not report.coverage.revisions:
        return "no revisions to check"
    said = [
        style(count(report.count(severity), str(severity)), severity)
        for severity in sorted(Severity, reverse=True)
        if report.count(severity)
    ] or [style("nothing found", None)]
    known = sum(each.by == "baseline" for each in report.suppressed)
    if len(report.suppressed) > known:
        said.append(f"{len(report.suppressed) - known} allowed")
    if known:
        said.append(f"{known} known to the baseline")
    return f"{', '.join(said)} in {count(report.coverage.revisions, 'revision')}"


def coverage_line(coverage: Coverage) -> str:
    """What was seen and what was not, such as "212 of 214 statements read, 2 revisions depend on data"."""
    parts = [f"{coverage.read} of {count(coverage.statements, 'statement')} read"]
    if coverage.data_dependent:
        verb = "depends" if coverage.data_dependent == 1 else "depend"
        parts.append(f"{count(coverage.data_dependent, 'revision')} {verb} on data")
    if coverage.incomplete:
        parts.append(f"{count(coverage.incomplete, 'revision')} not read to the end")
    if coverage.unseen:
        verb = "has" if coverage.unseen == 1 else "have"
        parts.append(f"{count(coverage.unseen, 'revision')} {verb} operations that were not seen")
    return ", ".join(parts)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def path_below(root: Path, file: Path) -> str:
    """`file` as seen from `root`, with slashes; absolute where it lies elsewhere."""
    whole = file.absolute()
    if not whole.is_relative_to(root):
        whole, root = whole.resolve(), root.resolve()
    return Path(os.path.relpath(whole, root) if whole.is_relative_to(root) else whole).as_posix()


def place_below(root: Path, place: Place) -> str:
    """The same with the line, where there is one."""
    path = path_below(root, place.file)
    return f"{path}:{place.line}" if place.line else path


def _is_python(finding: Finding) -> bool:
    return finding.place.file.suffix == ".py"
