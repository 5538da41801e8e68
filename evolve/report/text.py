"""A lint report for people: place, source line, lock, who breaks, why, and the safe form."""

from __future__ import annotations

import os
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from evolve.lint.model import Finding, Report, Severity, Suppressed
from evolve.report import folding, verdict, verification
from evolve.report.legible import legible, one_line
from evolve.report.sizes import facts_lines, weight_text
from evolve.report.source import source_line
from evolve.report.wording import (
    consequences,
    coverage_line,
    headline,
    safe_heading,
    safe_parts,
)
from evolve.sql.steps import Place

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}
_MARGIN = "  "
_NARROWEST = 30  # columns; what is narrower shows prose no better
_COMMAND = re.compile(r"\bevolve [a-z]+ ")
_COPIED = re.compile(r"\bevolve [a-z]|[()\[\]=;#]|--")  # a command or code, which must stay in one line


def render(report: Report, *, width: int = 100, root: Path | None = None, verbose: bool = False) -> str:
    """The whole report, styled; `click.echo` takes the style away where the output is no terminal.

    Args:
        report: what to show.
        width: columns that prose is wrapped to; code, SQL and commands are never wrapped.
        root: paths below it are shown relative to it; the working directory unless given.
        verbose: list what was allowed, with its reasons, and fold nothing.
    """
    base = root or Path.cwd()
    width = max(width, _NARROWEST)
    told: set[str] = set()
    blocks = folding.blocks(
        report.findings,
        lambda finding: "\n".join(_finding(finding, width, base, told)),
        width=width,
        everything=verbose,
    )
    if verbose:
        blocks += ["\n".join(_suppressed(item, width, base)) for item in report.suppressed]
    if report.verification is not None:
        shown = verification.lines(report.verification, lambda place: _place(place, base), verbose=verbose)
        blocks.append("\n".join(_wrapped(shown, width)))
    blocks.append("\n".join(_summary(report, width, verbose=verbose)))
    return "\n\n".join(blocks)


def _finding(finding: Finding, width: int, base: Path, told: set[str]) -> Iterator[str]:
    """One finding; a reason in `told` is not given in full again, and a new one is added there."""
    severity = click.style(str(finding.severity), fg=_COLOURS[finding.severity], bold=True)
    place = click.style(_place(finding.place, base), bold=True)
    yield f"{place}: {severity} {finding.rule} {one_line(finding.name)}"
    if finding.weight is not None and finding.quieted:
        yield from _prose("", finding.message, width)
        yield from _prose("size: ", weight_text(finding, finding.weight), width)
        return
    yield from _source(finding, width)
    yield from _prose("", finding.message, width)
    for label, text in consequences(finding):
        yield from _prose(f"{label}: ", text, width)
    yield from _prose("why: ", "as above" if finding.why in told else finding.why, width)
    told.add(finding.why)
    yield from _safe_form(finding)
    if finding.fix:
        whole = _COPIED.search(finding.fix)
        first, *others = (
            [f"{_MARGIN}fix: {one_line(finding.fix)}"] if whole else _prose("fix: ", finding.fix, width)
        )
        yield first.replace("fix:", click.style("fix:", fg="green"), 1)
        yield from others


def _safe_form(finding: Finding) -> Iterator[str]:
    if finding.safe:
        yield f"{_MARGIN}{click.style(f'{safe_heading(finding)}:', fg='green')}"
    for heading, body in safe_parts(finding):
        if heading:
            yield click.style(f"{_MARGIN * 2}{heading}", dim=True)
        yield from (f"{_MARGIN * 2}{line}" for line in legible(body).splitlines())


def _source(finding: Finding, width: int) -> Iterator[str]:
    """The line of the file, whole, with a mark under its code as far as `width` goes."""
    found = source_line(finding.place)
    if found is None:
        return
    number = f"{finding.place.line:>5} | "
    before, code, after = (
        legible(part).expandtabs(4)
        for part in (
            found.text[: found.first],
            found.text[found.first : found.last],
            found.text[found.last :],
        )
    )
    yield click.style(number, dim=True) + before + code + after
    mark = (" " * len(before) + "^" * _columns(code))[: width - len(number)]
    yield " " * (len(number) - 2) + click.style("| ", dim=True) + mark


def _columns(text: str) -> int:
    """How many columns of a terminal it takes up."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _suppressed(item: Suppressed, width: int, base: Path) -> Iterator[str]:
    place, verb = _place(item.finding.place, base), "known" if item.by == "baseline" else "allowed"
    yield f"{place}: {click.style(verb, dim=True)} {item.finding.rule} {one_line(item.finding.name)}"
    yield from _prose("", item.finding.message, width)
    yield from _prose("because: ", item.reason, width)


def _summary(report: Report, width: int, *, verbose: bool) -> Iterator[str]:
    yield headline(
        report, lambda words, severity: click.style(words, fg=_COLOURS[severity] if severity else "green")
    )
    if not report.coverage.revisions:
        return
    if report.suppressed and not verbose:
        yield f"{_MARGIN}what is not shown, with the reasons: evolve lint -v"
    if report.compatibility is not None:
        yield from _wrapped(verdict.lines(report.compatibility, verbose=verbose), width)
    if report.facts is not None:
        yield from _wrapped(facts_lines(report, report.facts), width)
    yield from _wrapped([coverage_line(report.coverage)], width)


def _wrapped(lines: Iterable[str], width: int) -> Iterator[str]:
    """Prose in lines of `width`, as indented as it was; what ends in a command stays whole, to be copied."""
    for line in lines:
        if _COMMAND.search(line) or len(line) <= width:
            yield legible(line)
        else:
            indent = line[: len(line) - len(line.lstrip())]
            yield from _filled(one_line(line), width, indent, indent + _MARGIN)


def _prose(label: str, text: str, width: int) -> list[str]:
    return _filled(label + one_line(text), width, _MARGIN, _MARGIN + " " * len(label))


def _filled(text: str, width: int, first: str, then: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _place(place: Place, base: Path) -> str:
    file = Path(os.path.relpath(place.file, base)) if place.file.is_relative_to(base) else place.file
    return one_line(f"{file}:{place.line}" if place.line else f"{file}")
