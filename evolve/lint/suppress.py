"""Takes away findings that are allowed: by a comment, by the settings, or by the baseline.

What allows nothing, or no longer, is a finding itself, wherever that is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import date
from pathlib import Path

from evolve.lint import lookup
from evolve.lint.baseline import Baseline, Entry, Known, revision_in
from evolve.lint.comments import Allowance, Unreadable, lines_of_downgrades, read_comments
from evolve.lint.model import Finding, Suppressed
from evolve.lint.peers import equivalents, ignores_in
from evolve.lint.rule import Rule
from evolve.lint.rules.allow.allow_expired import AllowExpired
from evolve.lint.rules.allow.allow_unknown_rule import AllowUnknownRule
from evolve.lint.rules.allow.allow_unreadable import AllowUnreadable
from evolve.lint.rules.allow.allow_unused import AllowUnused
from evolve.lint.rules.allow.allow_without_reason import AllowWithoutReason
from evolve.lint.settings import AllowedBySetting, matches
from evolve.lint.severities import Severities, with_severity
from evolve.sql.steps import CapturedStatement, Place
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged, and how: what allows nothing is unused only where its finding would have been found.

    Args:
        sources: revision id and text of every file that was judged.
        asked: the rules that were, and could tell.
        sent: the statements of each revision.
        incomplete: ids of revisions that were not read to their end.
        downgrades: `downgrade()` was judged too.
        otherwise: gives the findings of the same revisions, judged in other ways: on other versions of PostgreSQL,
            and each as if all before it were in use.
        files: all revisions that there are, by their ids; empty where that is not known.
        roots: folders from which globs over files may start.
    """

    sources: Mapping[Path, tuple[str, str]]
    asked: Collection[Rule]
    sent: Mapping[str, Sequence[CapturedStatement]] = field(default_factory=dict)
    incomplete: Collection[str] = ()
    downgrades: bool = False
    otherwise: Callable[[], Sequence[Finding]] = tuple
    files: Mapping[str, Path] = field(default_factory=dict)
    roots: tuple[Path, ...] = ()

    def names(self, file: Path) -> tuple[str, ...]:
        """What globs may call `file`."""
        inside = (file.relative_to(root).as_posix() for root in self.roots if file.is_relative_to(root))
        return (file.as_posix(), *inside)

    @property
    def revisions(self) -> Mapping[str, Path]:
        """Those that were judged."""
        return {revision: file for file, (revision, _) in self.sources.items()}


@dataclass(frozen=True, slots=True)
class Silences:
    """What allows findings, beside comments of our own.

    Args:
        ignore: ids of rules that the settings silence everywhere.
        allow: what else the settings allow; their rules are known.
        severities: by the ids of rules; those that are "off" are silenced like those of `ignore`.
        imported: ids of rules that the ignore lists of other tools silence, with the words that say which.
        tools: other tools whose comments in files of SQL count as well.
    """

    ignore: Collection[str] = ()
    allow: Sequence[AllowedBySetting] = ()
    severities: Severities = field(default_factory=dict)
    imported: Mapping[str, str] = field(default_factory=dict)
    tools: Collection[str] = ()
    baseline: Baseline | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """What suppression left over, in the order of the findings given, complaints about what allows them last.

    Args:
        gone: what the baseline knows, and is no longer there.
    """

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...]
    gone: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class _Setting:
    entry: AllowedBySetting
    rules: frozenset[str]

    @property
    def place(self) -> Place:
        return Place(self.entry.file, self.entry.line)


def suppress(
    findings: Iterable[Finding],
    rules: Collection[Rule],
    today: date,
    judged: Judged,
    silences: Silences | None = None,
) -> Silence:
    """Take away what is allowed, and add a finding for each comment and setting that is wrong or does nothing.

    Args:
        findings: in any order.
        rules: all rules there are; a comment may name them by name or by id.
        today: an allowance holds up to and with its last day.
    """
    silences = silences or Silences()
    work = _Work(rules, today, judged, silences)
    left: list[Finding] = []
    suppressed: list[Suppressed] = []
    for finding in findings:
        allowed = work.allowed(with_severity(finding, silences.severities))
        if isinstance(allowed, Suppressed):
            suppressed.append(allowed)
        else:
            left.append(allowed)
    gone = work.gone()
    complaints = sorted(
        {*work.complaints, *work.expired(), *work.unused(), *work.about_baseline(gone)},
        key=lambda finding: (str(finding.place.file), finding.place.line, finding.rule, finding.message),
    )
    for complaint in complaints:
        allowed = work.by_setting(with_severity(complaint, silences.severities))
        if isinstance(allowed, Suppressed):
            suppressed.append(allowed)
        else:
            left.append(allowed)
    return Silence(tuple(left), tuple(suppressed), gone)


class _Work:
    """What is allowed, and what of that has been of use."""

    def __init__(self, rules: Collection[Rule], today: date, judged: Judged, silences: Silences) -> None:
        self._rules = lookup.by_word(rules)
        self._judged, self._silences = judged, silences
        self._asked = frozenset(rule.id for rule in judged.asked)
        self.complaints: list[Finding] = []
        self._comments: list[Allowance] = []
        self._past_comments: list[Allowance] = []
        for file, (revision, source) in judged.sources.items():
            for item in read_comments(file, source, judged.sent.get(revision, ())):
                self._take(item, revision, today)
        self._foreign = [
            allowance
            for file, (_, source) in judged.sources.items()
            for allowance in _foreign_allowances(file, source, silences.tools, rules)
        ]
        settings = [
            _Setting(entry, frozenset[str]().union(*(lookup.meant(word, rules) for word in entry.rules)))
            for entry in silences.allow
        ]
        self._past_settings = [s for s in settings if s.entry.until is not None and s.entry.until < today]
        self._settings = [setting for setting in settings if setting not in self._past_settings]
        self._off = {rule for rule, word in silences.severities.items() if word == "off"}
        self._known = Known(silences.baseline) if silences.baseline is not None else None
        self._used: set[int] = set()
        self._open: dict[tuple[Path, str], int] = {}

    def _take(self, item: Allowance | Unreadable, revision: str, today: date) -> None:
        if isinstance(item, Unreadable):
            self.complaints.append(AllowUnreadable().about(item.place, revision, item.text, item.problem))
            return
        words = (item.name, item.name.upper(), item.name.lower())
        rule = next((self._rules[word] for word in words if word in self._rules), None)
        if rule is None:
            nearest, several = lookup.nearest(item.name, self._rules), lookup.means_several(item.name)
            unknown = AllowUnknownRule().about(item.place, revision, item.name, nearest, several=several)
            self.complaints.append(unknown)
        elif not item.reason:
            self.complaints.append(AllowWithoutReason().about(item.place, revision, item.name))
        elif item.until is not None and item.until < today:
            self._past_comments.append(replace(item, name=rule.id))
        else:
            self._comments.append(replace(item, name=rule.id))

    def allowed(self, finding: Finding) -> Finding | Suppressed:
        """`finding`, or what allows it: its line, its file, another tool, a setting, the baseline, in this order."""
        known = self._known.take(finding) if self._known is not None else None
        self._note_past(finding)
        speaking = [each for each in self._comments if _speaks(each, finding)]
        comment = next((each for each in speaking if each.lines is not None), None) or next(
            iter(speaking), None
        )
        if comment is not None:
            self._used.add(id(comment))
            return Suppressed(finding, comment.reason, comment.place, "comment")
        foreign = next((each for each in self._foreign if _speaks(each, finding)), None)
        if foreign is not None:
            return Suppressed(finding, foreign.reason, foreign.place, "imported")
        if finding.rule in self._silences.imported:
            return Suppressed(finding, self._silences.imported[finding.rule], None, "imported")
        by_setting = self.by_setting(finding)
        if isinstance(by_setting, Finding) and known is not None and self._silences.baseline is not None:
            place = Place(self._silences.baseline.file, known.line)
            return Suppressed(finding, "it was there when the baseline was written", place, "baseline")
        if isinstance(by_setting, Finding):
            self._open.setdefault((finding.place.file, finding.rule), finding.place.line)
        return by_setting

    def by_setting(self, finding: Finding) -> Finding | Suppressed:
        setting = next((each for each in self._settings if self._covers(each, finding)), None)
        if setting is not None:
            self._used.add(id(setting))
            place = setting.place if setting.entry.line else None
            return Suppressed(finding, setting.entry.because, place, "configuration")
        if finding.rule in self._silences.ignore:
            return Suppressed(finding, "ignored by the configuration", None, "configuration")
        if finding.rule in self._off:
            return Suppressed(finding, "switched off by the configuration", None, "configuration")
        return finding

    def _note_past(self, finding: Finding) -> None:
        """What would allow `finding`, had its last day not passed."""
        self._used.update(id(each) for each in self._past_comments if _speaks(each, finding))
        self._used.update(id(each) for each in self._past_settings if self._covers(each, finding))

    def _covers(self, setting: _Setting, finding: Finding) -> bool:
        if finding.rule not in setting.rules:
            return False
        return self._is_about(setting, finding.revision, finding.place.file)

    def _is_about(self, setting: _Setting, revision: str, file: Path) -> bool:
        names = self._judged.names(file)
        return not setting.entry.files or any(matches(g, revision, names) for g in setting.entry.files)

    # -- what does nothing ---------------------------------------------------------------------------------
    def gone(self) -> tuple[Entry, ...]:
        """What the baseline knows, and is no longer there."""
        if self._known is None:
            return ()
        baseline = self._silences.baseline
        folder = baseline.file.parent if baseline is not None else Path()
        judged = {
            revision_in(revision, file, folder): revision for revision, file in self._judged.revisions.items()
        }

        def had_its_chance(entry: Entry) -> bool:
            if entry.revision not in judged:
                # Nobody knows all files of SQL.
                return bool(self._judged.files) and not (
                    entry.revision in self._judged.files or entry.revision.endswith(".sql")
                )
            if judged[entry.revision] in self._judged.incomplete:
                return False
            if entry.direction == "downgrade" and not self._judged.downgrades:
                return False
            return entry.rule in self._asked or entry.rule not in self._rules

        return tuple(self._known.gone(had_its_chance, self._judged.otherwise))

    def about_baseline(self, gone: Sequence[Entry]) -> Iterator[Finding]:
        """One complaint for all of `gone`: a new version may find many a thing no more."""
        baseline = self._silences.baseline
        if baseline is None or not gone:
            return
        shown = [f"{self._name(entry.rule)} in {entry.revision}" for entry in gone[:3]]
        place = Place(baseline.file, gone[0].line)
        yield AllowUnused().about_baseline(place, shown, sum(entry.times for entry in gone))

    def _name(self, rule: str) -> str:
        return self._rules[rule].name if rule in self._rules else rule

    def expired(self) -> Iterator[Finding]:
        for comment in self._past_comments:
            if id(comment) in self._used and comment.until is not None:
                revision = self._judged.sources[comment.place.file][0]
                name = self._rules[comment.name].name
                yield AllowExpired().about(comment.place, revision, name, comment.until)
        for setting in self._past_settings:
            until = setting.entry.until
            if id(setting) in self._used and until is not None:
                yield AllowExpired().about_setting(setting.place, setting.entry.rules, until)

    def unused(self) -> Iterator[Finding]:
        idle = [
            comment
            for comment in (*self._comments, *self._past_comments)
            if id(comment) not in self._used and comment.name in self._asked
        ]
        settings = [each for each in (*self._settings, *self._past_settings) if id(each) not in self._used]
        waiting: tuple[Allowance | _Setting, ...] = (*idle, *settings)
        if any(self._had_its_chance(each) for each in waiting):
            # What is new within the rollout hides findings that come back once it is parted in two; what only one
            # version does, another run finds.
            for finding in self._judged.otherwise():
                self._used.update(id(each) for each in idle if _speaks(each, finding))
                self._used.update(id(each) for each in settings if self._covers(each, finding))
        # A loop sends a text in several forms, and a comment in it is of use if it is in one of them.
        useful = {(c.place, c.name) for c in (*self._comments, *self._past_comments) if id(c) in self._used}
        for comment in idle:
            if (comment.place, comment.name) not in useful and self._had_its_chance(comment):
                revision = self._judged.sources[comment.place.file][0]
                line = self._open.get((comment.place.file, comment.name))
                yield AllowUnused().about(comment.place, revision, self._rules[comment.name].name, line)
        for setting in settings:
            if id(setting) not in self._used:
                yield from self._idle_setting(setting)

    def _idle_setting(self, setting: _Setting) -> Iterator[Finding]:
        files = self._judged.files
        if not files:
            return
        # Those of the settings alone; what they name was looked for among all revisions.
        missing = [
            each
            for each in setting.entry.files
            if not any(matches(each, revision, self._judged.names(file)) for revision, file in files.items())
        ]
        for pattern in missing:
            yield AllowUnused().about_files(setting.place, pattern)
        if not missing and self._had_its_chance(setting):
            yield AllowUnused().about_setting(setting.place, setting.entry.rules)

    def _had_its_chance(self, silence: Allowance | _Setting) -> bool:
        """Whether a finding that it allows would have been found."""
        if isinstance(silence, _Setting):
            about = {r for r, file in self._judged.files.items() if self._is_about(silence, r, file)}
            complete = self._judged.revisions.keys() - set(self._judged.incomplete)
            return bool(about) and about <= complete and not silence.rules.isdisjoint(self._asked)
        revision, source = self._judged.sources[silence.place.file]
        if revision in self._judged.incomplete:
            return False
        if silence.sent is not None or silence.place.file.suffix != ".py" or self._judged.downgrades:
            return True
        return not any(silence.place.line in lines for lines in lines_of_downgrades(source))


def _speaks(comment: Allowance, finding: Finding) -> bool:
    if comment.name != finding.rule:
        return False
    if comment.sent is not None:
        meant = (finding.sql, finding.place) == (comment.sent.sql, comment.sent.place)
        return meant and (comment.lines is None or finding.sql_line in comment.lines)
    if comment.place.file != finding.place.file:
        return False
    return comment.lines is None or finding.place.line in comment.lines


def _foreign_allowances(
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
                    yield Allowance(rule.id, Place(file, ignore.line), ignore.lines, reason)
