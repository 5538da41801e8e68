"""Comments that allow a finding, with their reason and their last day.

    # evolve: allow[set-not-null-scan] because the table holds twelve rows
    # evolve: allow[drop-column, drop-table] until 2026-12-31 because release 41 no longer maps them
    # evolve: allow-file[create-index-blocking] because this database is filled at night only

A comment speaks for the line it stands on; alone on its line, for the next one. A call over several lines is
one line. In a file of plain SQL such comments begin with two dashes, and a statement is one line.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import date
from pathlib import Path

from evolve.lint import lookup
from evolve.lint.model import Finding, Suppressed
from evolve.lint.peers import equivalents, ignores_in
from evolve.lint.rule import Rule
from evolve.lint.rules.allow.allow_expired import AllowExpired
from evolve.lint.rules.allow.allow_unknown_rule import AllowUnknownRule
from evolve.lint.rules.allow.allow_unreadable import AllowUnreadable
from evolve.lint.rules.allow.allow_unused import AllowUnused
from evolve.lint.rules.allow.allow_without_reason import AllowWithoutReason
from evolve.sql.script import comments, pieces
from evolve.sql.steps import Place
from evolve.values import dataclass

_OURS = re.compile(r"#\s*evolve:\s*(?P<text>.*)\Z")
_ALLOW = re.compile(
    r"(?P<scope>allow|allow-file)\s*\[(?P<names>[^\]]*)\]"
    r"(?:\s+until\s+(?P<until>\S+))?"
    r"(?:\s+because\b\s*(?P<reason>.*))?\Z"
)
_PUNCTUATION = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
)


@dataclass(slots=True)
class Allowance:
    """One name of one comment.

    Args:
        lines: those it speaks for; None is the whole file.
        reason: empty where the comment gives none.
        until: the last day on which it holds.
        used: set once it has allowed a finding.
    """

    name: str
    place: Place
    lines: range | None
    reason: str
    until: date | None = None
    used: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A comment that begins with `# evolve:` and says nothing we know."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Silence:
    """What suppression left over, in the order of the findings given, complaints about comments last."""

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...]


def suppress(
    findings: Sequence[Finding],
    sources: Mapping[Path, tuple[str, str]],
    rules: Collection[Rule],
    today: date,
    ignore: Collection[str] = (),
    asked: Collection[Rule] | None = None,
    imported: Mapping[str, str] | None = None,
    tools: Collection[str] = (),
) -> Silence:
    """Take away what is allowed, and add a finding for each comment that is wrong or does nothing.

    Args:
        findings: in any order.
        sources: revision id and text of every file that was linted.
        rules: all rules there are; a comment may name them by name or by id.
        today: an allowance holds up to and with its last day.
        ignore: names or ids of rules that the configuration silences.
        asked: the rules that were; all unless given. An allowance of another one had no chance to be of use.
        imported: ids of rules that the ignore lists of other tools silence, with the words that say which.
        tools: other tools whose comments in files of SQL count as well.
    """
    by_word = lookup.by_word(rules)
    ignored = {by_word[word].id for word in ignore if word in by_word}
    allowances: list[Allowance] = []
    complaints: list[Finding] = []
    for file, (revision, source) in sources.items():
        for item in read_allowances(file, source):
            problem = _problem(item, revision, by_word, today)
            if problem is not None:
                complaints.append(problem)
            elif isinstance(item, Allowance):
                allowances.append(replace(item, name=by_word[item.name].id))
        allowances += _imported_allowances(file, source, tools, rules)
    reasons = imported or {}
    left: list[Finding] = []
    suppressed: list[Suppressed] = []
    for finding in findings:
        allowance = _allowing(finding, allowances)
        if allowance is not None:
            suppressed.append(Suppressed(finding, allowance.reason, allowance.place))
        elif finding.rule in reasons:
            suppressed.append(Suppressed(finding, reasons[finding.rule], None))
        elif finding.rule in ignored:
            suppressed.append(Suppressed(finding, "ignored by the configuration", None))
        else:
            left.append(finding)
    had_a_chance = {rule.id for rule in (rules if asked is None else asked)}
    unused = [a for a in allowances if not a.used and a.name in had_a_chance]
    complaints += (
        AllowUnused().about(a.place, sources[a.place.file][0], by_word[a.name].name) for a in unused
    )
    complaints.sort(key=lambda finding: (str(finding.place.file), finding.place.line))
    return Silence((*left, *(c for c in complaints if c.rule not in ignored)), tuple(suppressed))


def read_allowances(file: Path, source: str) -> Iterator[Allowance | Unreadable]:
    """Every `# evolve:` comment of `source`, one item for each name in it; strings are not comments."""
    for place, text, lines in _comments(file, source):
        match = _ALLOW.match(text)
        names = [name.strip() for name in match["names"].split(",") if name.strip()] if match else []
        if match is None or not names:
            yield Unreadable(place, text)
            continue
        try:
            until = date.fromisoformat(match["until"]) if match["until"] else None
        except ValueError:
            yield Unreadable(place, text)
            continue
        reason = (match["reason"] or "").strip()
        for name in names:
            yield Allowance(name, place, lines if match["scope"] == "allow" else None, reason, until)


def _imported_allowances(
    file: Path, source: str, tools: Collection[str], rules: Collection[Rule]
) -> Iterator[Allowance]:
    """What comments of other tools allow; nobody minds one that allows nothing here."""
    if file.suffix == ".py":
        return
    for tool in tools:
        known = equivalents(tool, rules)
        for ignore in ignores_in(tool, source):
            for name in ignore.names or known:
                for rule in known.get(name, ()):
                    reason = f"a comment tells {tool} to ignore {name}"
                    yield Allowance(rule.id, Place(file, ignore.line), ignore.lines, reason, used=True)


def _problem(
    item: Allowance | Unreadable, revision: str, by_word: Mapping[str, Rule], today: date
) -> Finding | None:
    match item:
        case Unreadable(place=place, text=text):
            return AllowUnreadable().about(place, revision, text)
        case Allowance(name=name) if name not in by_word:
            return AllowUnknownRule().about(item.place, revision, name, lookup.nearest(name, by_word))
        case Allowance(reason=""):
            return AllowWithoutReason().about(item.place, revision, item.name)
        case Allowance(until=date() as until) if until < today:
            return AllowExpired().about(item.place, revision, item.name, until)
        case Allowance():
            return None


def _allowing(finding: Finding, allowances: Iterable[Allowance]) -> Allowance | None:
    """The allowance that speaks for `finding`; a line's own before a file's."""
    found: Allowance | None = None
    for allowance in allowances:
        if allowance.name != finding.rule or allowance.place.file != finding.place.file:
            continue
        if allowance.lines is None:
            found = found or allowance
        elif finding.place.line in allowance.lines:
            found = allowance
            break
    if found is not None:
        found.used = True
    return found


def _comments(file: Path, source: str) -> Iterator[tuple[Place, str, range]]:
    """Each of our comments with the lines of the statement that it stands in, behind, or above."""
    if "evolve:" not in source:
        return  # to read tokens takes longer than everything else
    if file.suffix == ".py":
        yield from _python_comments(file, source)
    else:
        yield from _sql_comments(file, source)


def _sql_comments(file: Path, source: str) -> Iterator[tuple[Place, str, range]]:
    statements = [range(piece.first_line, piece.last_line + 1) for piece in pieces(source)]
    for comment in comments(source):
        found = _OURS.match(f"# {comment.text}")
        if found is None:
            continue
        spoken_for = (lines for lines in statements if comment.line < lines.stop)
        if not comment.above:
            spoken_for = (lines for lines in statements if comment.line in lines)
        lines = next(spoken_for, range(comment.line, comment.line + 1))
        yield Place(file, comment.line), found["text"].strip(), lines


def _python_comments(file: Path, source: str) -> Iterator[tuple[Place, str, range]]:
    waiting: list[tuple[Place, str]] = []
    start: int | None = None
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                found = _OURS.match(token.string)
                if found:
                    waiting.append((Place(file, token.start[0]), found["text"].strip()))
            elif token.type == tokenize.NEWLINE:
                first, start = start or token.start[0], None
                # A comment inside the call, behind it, or on the lines just above it.
                lines = range(first, token.start[0] + 1)
                yield from ((place, text, lines) for place, text in waiting)
                waiting = []
            elif start is None and token.type not in _PUNCTUATION:
                start = token.start[0]
    except (tokenize.TokenError, SyntaxError):
        pass  # the file does not load either, and that is a finding of its own
    yield from ((place, text, range(place.line, place.line + 1)) for place, text in waiting)
