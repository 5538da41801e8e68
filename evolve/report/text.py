"""A lint report for people: place, source line, lock, who breaks, why, and the safe form."""

from __future__ import annotations

import linecache
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from evolve.lint.model import Coverage, Finding, Report, Severity, Suppressed
from evolve.report import folding, verdict, verification
from evolve.report.sizes import facts_lines, weight_text
from evolve.sql.steps import Place

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}
_MARGIN = "  "


def render(report: Report, *, width: int = 100, root: Path | None = None, verbose: bool = False) -> str:
    """The whole report, styled; `click.echo` takes the style away where the output is no terminal.

    Args:
        report: what to show.
        width: columns that prose is wrapped to; code, SQL and commands are never wrapped.
        root: paths below it are shown relative to it; the working directory unless given.
        verbose: list what was allowed, with its reasons, and fold nothing.
    """
    base = root or Path.cwd()
    told: set[str] = set()
    blocks = folding.blocks(
        report.findings,
        lambda finding: "\n".join(_finding(finding, max(width, 30), base, told)),
        width=max(width, 30),
        everything=verbose,
    )
    if verbose:
        blocks += ["\n".join(_suppressed(item, base)) for item in report.suppressed]
    if report.verification is not None:
        shown = verification.lines(report.verification, lambda place: _place(place, base), verbose=verbose)
        blocks.append("\n".join(shown))
    blocks.append("\n".join(_summary(report, verbose=verbose)))
    return "\n\n".join(blocks)


def _finding(finding: Finding, width: int, base: Path, told: set[str]) -> Iterator[str]:
    """One finding; a reason in `told` is not given in full again, and a new one is added there."""
    severity = click.style(str(finding.severity), fg=_COLOURS[finding.severity], bold=True)
    place = click.style(_place(finding.place, base), bold=True)
    yield f"{place}: {severity} {finding.rule} {finding.name}"
    if finding.weight is not None and finding.quieted:
        yield from _prose("", finding.message, width)
        yield from _prose("size: ", weight_text(finding, finding.weight), width)
        return
    yield from _source(finding)
    yield from _prose("", finding.message, width)
    for label, text in _facts(finding):
        yield from _prose(f"{label}: ", text, width)
    yield from _prose("why: ", "as above" if finding.why in told else finding.why, width)
    told.add(finding.why)
    yield from _safe_form(finding)
    if finding.fix:
        yield f"{_MARGIN}{click.style('fix:', fg='green')} {finding.fix}"


def _facts(finding: Finding) -> Iterator[tuple[str, str]]:
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


def _safe_form(finding: Finding) -> Iterator[str]:
    several = len(finding.safe) > 1
    python = finding.place.file.suffix == ".py"
    if finding.safe:
        apart = "revisions" if python else "transactions"
        heading = f"safe, in {len(finding.safe)} {apart}:" if several else "safe:"
        yield f"{_MARGIN}{click.style(heading, fg='green')}"
    for number, body in enumerate(finding.safe, 1):
        if several:
            part = f"# revision {number}" if python else f"-- transaction {number}"
            yield click.style(f"{_MARGIN * 2}{part}", dim=True)
        yield from (f"{_MARGIN * 2}{line}" for line in body.splitlines())


def _source(finding: Finding) -> Iterator[str]:
    """The line of the file with a mark under its code."""
    line = linecache.getline(str(finding.place.file), finding.place.line).rstrip()
    if not line.strip():
        return
    number = f"{finding.place.line:>5} | "
    code = line.split("  # ")[0].rstrip()
    indent = len(code) - len(code.lstrip())
    yield click.style(number, dim=True) + line.expandtabs(4)
    yield " " * (len(number) - 2) + click.style("| ", dim=True) + " " * indent + "^" * (len(code) - indent)


def _suppressed(item: Suppressed, base: Path) -> Iterator[str]:
    place = _place(item.finding.place, base)
    yield f"{place}: {click.style('allowed', dim=True)} {item.finding.rule} {item.finding.name}"
    yield f"{_MARGIN}{item.finding.message}"
    yield f"{_MARGIN}because: {item.reason}"


def _summary(report: Report, *, verbose: bool = False) -> Iterator[str]:
    counts = [
        click.style(_count(report.count(severity), str(severity)), fg=_COLOURS[severity])
        for severity in sorted(Severity, reverse=True)
        if report.count(severity)
    ]
    allowed = [f"{len(report.suppressed)} allowed"] if report.suppressed else []
    revisions = _count(report.coverage.revisions, "revision")
    if not report.coverage.revisions:
        yield "no revisions to check"
    elif counts:
        yield f"{', '.join(counts + allowed)} in {revisions}"
    else:
        yield (
            click.style("nothing found", fg="green")
            + "".join(f", {text}" for text in allowed)
            + f" in {revisions}"
        )
    if report.coverage.revisions and report.compatibility is not None:
        yield from verdict.lines(report.compatibility, verbose=verbose)
    if report.coverage.revisions and report.facts is not None:
        yield from facts_lines(report, report.facts)
    if report.coverage.revisions:
        yield coverage_line(report.coverage)


def coverage_line(coverage: Coverage) -> str:
    """What was seen and what was not, such as "212 of 214 statements read, 2 revisions depend on data"."""
    parts = [f"{coverage.read} of {_count(coverage.statements, 'statement')} read"]
    if coverage.data_dependent:
        verb = "depends" if coverage.data_dependent == 1 else "depend"
        parts.append(f"{_count(coverage.data_dependent, 'revision')} {verb} on data")
    if coverage.incomplete:
        parts.append(f"{_count(coverage.incomplete, 'revision')} not read to the end")
    if coverage.unseen:
        verb = "has" if coverage.unseen == 1 else "have"
        parts.append(f"{_count(coverage.unseen, 'revision')} {verb} operations that were not seen")
    return ", ".join(parts)


def _prose(label: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        label + text,
        width,
        initial_indent=_MARGIN,
        subsequent_indent=_MARGIN + " " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _place(place: Place, base: Path) -> str:
    file = Path(os.path.relpath(place.file, base)) if place.file.is_relative_to(base) else place.file
    return f"{file}:{place.line}" if place.line else f"{file}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
