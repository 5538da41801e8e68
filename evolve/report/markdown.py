"""A lint report as a comment on a pull request: a table for those in a hurry, and one block to open per finding."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from evolve.lint.demands import Demands
from evolve.lint.model import Finding, Report, Severity, Suppressed
from evolve.lint.verdict import Compatibility
from evolve.lint.verification import Difference
from evolve.report.legible import legible, one_line
from evolve.report.sizes import facts_lines
from evolve.report.source import source_line
from evolve.report.verdict import meaning, order, shortfall
from evolve.report.verification import summary as verified
from evolve.report.wording import (
    consequences,
    count,
    coverage_line,
    headline,
    place_below,
    safe_heading,
    safe_parts,
)

# Whoever posts the report finds the comment of an earlier run by it, and replaces that.
MARKER = "<!-- evolve lint -->"
# Characters; forges take 65,536, and whoever posts the report may put a line of their own above it.
LONGEST = 65_000

_SIGNS = {Severity.ERROR: "🛑", Severity.WARNING: "⚠️", Severity.INFO: "ℹ️"}  # noqa: RUF001
_LANGUAGES = {".py": "python", ".toml": "toml", ".jsonl": "json"}
_MOST_REVISIONS = 20  # that the table tells the verdicts of
_MOST_ALLOWED = 50
# What Markdown or HTML could take for its own; not underscores within words, nor colons before spaces and numbers.
_MARKUP = re.compile(r"[!#$%&*+<=>?@\[\\\]^`{|}~]|:(?![\s\d])|_(?![^\W_])|(?<![^\W_])_")
# A forge makes mentions and links of these, also where they are entities, unless something stands between.
_MENTIONS = re.compile(r"([@#!%$~&])(?=\w)")


def render(report: Report, *, root: Path, demands: Demands | None = None) -> str:
    """At most `LONGEST` characters: findings that there is no room for are counted at the end.

    Args:
        root: of the repository, which paths start from.
        demands: what makes the exit status 1; whether it does stands in the first line.
    """
    demands = demands or Demands()
    head = "\n".join(_head(report, demands))
    blocks = [_finding(finding, root) for finding in report.findings]
    differences = report.verification.differences if report.verification is not None else ()
    blocks = [*(_difference(each, root) for each in differences), *blocks]
    # What a baseline knows is many, and nobody has decided anything about it.
    allowed = [item for item in report.suppressed if item.by != "baseline"]
    blocks += [_allowed(allowed, root)] if allowed else []
    return _joined([head, *blocks])


def _joined(parts: list[str]) -> str:
    """As many of `parts` as there is room for, the first one in any case."""
    text = parts[0]
    for number, part in enumerate(parts[1:]):
        left = len(parts) - 1 - number
        cut = f"\n\n**{count(left, 'more block')} had no room in this comment**: `evolve lint` shows all."
        room = LONGEST - (len(cut) if left > 1 else 0)
        if len(text) + 2 + len(part) > room:
            return text + cut
        text += f"\n\n{part}"
    return text


def _head(report: Report, demands: Demands) -> Iterator[str]:
    yield MARKER
    sign = "✅" if demands.met_by(report) else "❌"
    yield f"### {sign} evolve lint: {headline(report)}"
    rows = [*_rows(report, demands)] if report.coverage.revisions else []
    rows += [("note", _prose(note)) for note in report.notes]
    if rows:
        yield ""
        yield "| | |"
        yield "|---|---|"
    for name, text in rows:
        yield f"| **{name}** | {text} |"


def _rows(report: Report, demands: Demands) -> Iterator[tuple[str, str]]:
    for severity in sorted(Severity, reverse=True):
        if report.count(severity):
            yield (
                f"{_SIGNS[severity]} {count(report.count(severity), str(severity))}",
                _rules(report, severity),
            )
    if report.compatibility is not None:
        yield from _verdict(report.compatibility)
    if demands.required is not None and (unmet := demands.unmet_by(report)):
        yield "required", "<br>".join(map(_prose, shortfall(demands.required, unmet).splitlines()))
    if report.facts is not None:
        yield "facts", "<br>".join(map(_prose, facts_lines(report, report.facts)))
    if report.verification is not None:
        notes = (f"not verified: {note}" for note in report.verification.notes)
        yield "verification", "<br>".join(map(_prose, (verified(report.verification), *notes)))
    yield "read", _prose(coverage_line(report.coverage))


def _rules(report: Report, severity: Severity) -> str:
    names = [f"{each.rule} {each.name}" for each in report.findings if each.severity is severity]
    each = ((name, names.count(name)) for name in dict.fromkeys(names))
    return ", ".join(_prose(name) + (f" ({times} times)" if times > 1 else "") for name, times in each)


def _verdict(compatibility: Compatibility) -> Iterator[tuple[str, str]]:
    whole = compatibility.whole
    if whole is not None:
        so_far = "" if compatibility.complete else ", as far as it was read"
        yield "compatibility", f"**{whole.level.value}**: {meaning(whole.level)}{so_far}"
        yield "deployment", _prose(order(whole))
        if len({each.level for each in compatibility.revisions}) > 1:
            shown = compatibility.revisions[:_MOST_REVISIONS]
            lines = [
                f"{_code(each.revisions[0])} {each.level.value}, {_prose(order(each))}" for each in shown
            ]
            if len(compatibility.revisions) > len(shown):
                lines.append(f"and {len(compatibility.revisions) - len(shown)} more revisions")
            yield "each revision", "<br>".join(lines)
    if compatibility.window is not None:
        window = compatibility.window
        over = f"over the last {count(len(window.revisions), 'revision')}"
        yield (
            "window",
            f"**{window.level.transitive}** {over}" + (f": {_prose(window.why)}" if window.why else ""),
        )


def _finding(finding: Finding, root: Path) -> str:
    title = f"{_SIGNS[finding.severity]} {finding.severity} <b>{finding.rule} {_prose(finding.name)}</b>"
    where = _code(place_below(root, finding.place))
    return _block(f"{title} {where}: {_prose(finding.message)}", "\n".join(_body(finding)))


def _body(finding: Finding) -> Iterator[str]:
    line = source_line(finding.place)
    if line is not None:
        yield _fenced(line.text.strip(), finding)
        yield ""
    command = finding.fix if finding.fix and finding.fix.startswith("evolve ") else None
    advice = [("fix", finding.fix)] if finding.fix and not command else []
    for label, text in (*consequences(finding), ("why", finding.why), *advice):
        yield f"- **{label}**: {_prose(text)}"
    if finding.safe:
        yield ""
        yield f"**{safe_heading(finding)}**"
        yield ""
        yield _fenced("\n\n".join("\n".join(filter(None, part)) for part in safe_parts(finding)), finding)
    if command:
        yield ""
        yield "**fix**"
        yield ""
        yield _fence(one_line(command), "sh")


def _difference(difference: Difference, root: Path) -> str:
    where = _code(place_below(root, difference.statement.place))
    title = f"🛑 <b>the server differs</b> {where}: {_prose(difference.message)}"
    return _block(title, _fence(difference.statement.sql, "sql"))


def _allowed(items: Sequence[Suppressed], root: Path) -> str:
    lines = [
        f"- {_code(place_below(root, item.finding.place))} {item.finding.rule} {_prose(item.finding.name)}: "
        f"{_prose(item.finding.message)}<br>because: {_prose(item.reason)}"
        for item in items[:_MOST_ALLOWED]
    ]
    if len(items) > _MOST_ALLOWED:
        lines.append(f"- and {len(items) - _MOST_ALLOWED} more")
    return _block(f"{len(items)} allowed", "\n".join(lines))


def _block(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _fenced(code: str, finding: Finding) -> str:
    return _fence(code, _LANGUAGES.get(finding.place.file.suffix, "sql"))


def _fence(code: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{legible(code)}\n{ticks}"


def _prose(text: str) -> str:
    """`text` as a reader sees it: nothing in it is markup, a link, a mention or the end of a cell."""
    apart = _MENTIONS.sub("\\1\u200b", one_line(text))
    return _escaped(apart)


def _code(text: str) -> str:
    return f"<code>{_escaped(one_line(text))}</code>"


def _escaped(text: str) -> str:
    return _MARKUP.sub(lambda sign: f"&#{ord(sign[0])};", text)
