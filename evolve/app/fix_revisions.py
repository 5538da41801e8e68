"""Mends revisions where one safe form within the revision is sure, and proves each change before it is offered.

A change counts as proven where the revisions, read with it, leave the same schema behind and send the same statements
over rows, and where nothing is found that was not found before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from evolve.app.lint_revisions import Options, Question, lint, repository_of, unreleased
from evolve.errors import Refused
from evolve.files import write_whole
from evolve.lint.fixes import FIXES, Fix, apply, available, look, touch
from evolve.lint.fixes.mending import Left, Mended, Mending, decode, encode
from evolve.lint.model import Finding, Report
from evolve.revisions.before import revisions_before
from evolve.revisions.history import read_history
from evolve.revisions.models import Releases
from evolve.revisions.project import Project
from evolve.revisions.select import Files, Range, Since
from evolve.sql import operations as op
from evolve.sql.differences import differences
from evolve.sql.parse import parse
from evolve.sql.read import replay
from evolve.sql.schema import Schema
from evolve.sql.steps import Recording
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.lint.rule import Rule
    from evolve.revisions.cache.store import Store

_ROUNDS = 100
_NUMBER = re.compile(r"\d+")
# What only the application's code can be matched with, and no schema shows.
_ROWS = (op.Insert, op.Update, op.Delete, op.Truncate, op.Copy, op.DoBlock, op.Unread)
_DEFAULT = re.compile(r"column (?P<column>\S+): default is .*, expected none")
# A revision that was named although others may have applied it is told of as changed, which is meant.
_MEANT = "edited-applied-revision"


class ChangedMeanwhile(Refused):
    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file} was changed while it was being read",
            why="nothing was written to it: what was shown is no longer what would come of it",
            fix="run evolve lint --fix again",
        )


@dataclass(frozen=True, slots=True)
class Judged:
    report: Report
    schema: Schema
    recordings: tuple[Recording, ...]


def mend_revisions(
    project: Project,
    question: Question,
    options: Options,
    rules: Sequence[Rule] | Callable[[], Sequence[Rule]],
    store: Store | None = None,
    releases: Releases | None = None,
) -> Mending:
    """Fix what is found in the revisions of `question`; nothing is written.

    Only revisions are mended that the branch adds, or that were named one by one: another database may have applied
    the others.
    """

    def judge(texts: Mapping[Path, bytes]) -> Judged:
        read: list[tuple[Schema, tuple[Recording, ...]]] = []
        report = lint(
            project,
            question,
            options,
            rules,
            store=store,
            releases=releases,
            texts=texts,
            on_read=lambda schema, recordings: read.append((schema.copy(), tuple(recordings))),
        )
        schema, recordings = read[0]
        return Judged(report, schema, recordings)

    return mend(judge, _closed(project, question))


def mend_scripts(
    files: Sequence[str], options: Options, rules: Sequence[Rule], *, in_transaction: bool = False
) -> Mending:
    """Fix what is found in files of plain SQL; nothing is written."""
    from evolve.app.lint_scripts import lint_scripts

    def judge(texts: Mapping[Path, bytes]) -> Judged:
        read: list[tuple[Schema, tuple[Recording, ...]]] = []
        report = lint_scripts(
            files,
            options,
            rules,
            in_transaction=in_transaction,
            texts=texts,
            on_read=lambda schema, recordings: read.append((schema, tuple(recordings))),
        )
        schema, recordings = read[0]
        return Judged(report, schema, recordings)

    return mend(judge, lambda finding: None)


def mend(
    judge: Callable[[Mapping[Path, bytes]], Judged],
    closed: Callable[[Finding], str | None],
    texts: Mapping[Path, bytes] = MappingProxyType({}),
) -> Mending:
    """Apply fixes, judge, and repeat until there are no more.

    Args:
        closed: why the file of a finding is not to be changed; None where it may be.
        texts: of files that `judge` does not take from the disk, as an editor has them.
    """
    begin = judge({})
    state = _State(judge, closed, begin, begin, originals=dict(texts))
    for _ in range(_ROUNDS):
        if not state.advance():
            break
    return state.result()


@dataclass(slots=True)
class _State:
    judge: Callable[[Mapping[Path, bytes]], Judged]
    closed: Callable[[Finding], str | None]
    begin: Judged
    now: Judged
    texts: dict[Path, bytes] = field(default_factory=dict)
    originals: dict[Path, bytes] = field(default_factory=dict)
    made: list[tuple[Finding, Fix]] = field(default_factory=list)
    refused: dict[tuple[object, ...], str] = field(default_factory=dict)

    def advance(self) -> bool:
        """Make what fixes there are; False where there are none."""
        found = list(self._candidates())
        if not found:
            return False
        if self._try(found) is None:
            return True
        for finding, fix in found:
            reason = self._try([(finding, fix)])
            if reason is None:
                return True
            self.refused[_key(finding)] = reason
        return True

    def result(self) -> Mending:
        mended = tuple(
            Mended(
                file,
                self.originals[file],
                text,
                tuple((finding, fix.title) for finding, fix in self.made if finding.place.file == file),
            )
            for file, text in self.texts.items()
        )
        waiting = list(self.begin.report.findings)
        left: list[Left] = []
        for finding in self.now.report.findings:
            before = next((each for each in waiting if _kind(each) == _kind(finding)), None)
            if before is not None:
                waiting.remove(before)
            left.append(Left(finding, before or finding, self._why(finding)))
        return Mending(mended, tuple(left), self.begin.report, self.now.report)

    def _candidates(self) -> Iterator[tuple[Finding, Fix]]:
        taken: list[tuple[Path, Fix]] = []
        for finding in self.now.report.findings:
            if finding.rule not in FIXES or _key(finding) in self.refused or self.closed(finding) is not None:
                continue
            file = finding.place.file
            text = self._text(file)
            fix = available(finding, text) if text is not None else None
            if fix is None or any(other == file and touch(fix.edits, made.edits) for other, made in taken):
                continue
            taken.append((file, fix))
            yield finding, fix

    def _try(self, found: Sequence[tuple[Finding, Fix]]) -> str | None:
        """Keep these fixes where all is well with them; else why it is not."""
        texts = dict(self.texts)
        for file in {finding.place.file for finding, _ in found}:
            text = self._text(file) or ""
            edits = [edit for finding, fix in found if finding.place.file == file for edit in fix.edits]
            try:
                texts[file] = encode(apply(text, edits), self._raw(file))
            except (ValueError, UnicodeEncodeError) as error:
                return str(error)
        after = self.judge(texts)
        defaults = [finding for finding, _ in (*self.made, *found) if finding.rule == "EV205"]
        wrong = _wrong(self.begin, after, texts, defaults)
        if wrong is not None:
            return wrong
        still = {_key(finding) for finding in after.report.findings}
        if (
            len(found) == 1
            and all(_key(finding) in still for finding, _ in found)
            and len(after.report.findings) >= len(self.now.report.findings)
        ):
            return "it would still be found"
        self.texts, self.now = texts, after
        self.made += found
        return None

    def _raw(self, file: Path) -> bytes:
        if file not in self.originals:
            self.originals[file] = file.read_bytes()
        return self.texts.get(file, self.originals[file])

    def _text(self, file: Path) -> str | None:
        try:
            return decode(self._raw(file))
        except (OSError, SyntaxError, UnicodeDecodeError):
            return None

    def _why(self, finding: Finding) -> str:
        known = self.closed(finding) or self.refused.get(_key(finding))
        if known is not None and finding.rule in FIXES:
            return known
        text = self._text(finding.place.file)
        found = look(finding, text) if text is not None else None
        return found.reason if found is not None and not isinstance(found, Fix) else "its file cannot be read"


def write(mending: Mending) -> None:
    """Write all files, each whole, in their own encoding and with the mode they have.

    Raises:
        ChangedMeanwhile: a file is not what it was when it was read; no file is written then.
        CannotWrite: one cannot be written; those before it are.
    """
    for each in mending.mended:
        if each.file.read_bytes() != each.before:
            raise ChangedMeanwhile(each.file)
    for each in mending.mended:
        write_whole(each.file, each.after)


# -- what is proven -----------------------------------------------------------------------------------------
def _wrong(
    before: Judged, after: Judged, texts: Collection[Path], defaults: Collection[Finding]
) -> str | None:
    """What is wrong with the new texts; None where they do the same."""
    differing = [
        line for line in differences(_end(before), _end(after)) if not _is_wanted_default(line, defaults)
    ]
    if differing:
        return f"the schema would be another one: {differing[0]}"
    if _rows(before.recordings) != _rows(after.recordings):
        return "it would do something else with rows"
    earlier = Counter(_kind(finding) for finding in before.report.findings)
    allowed = Counter(_kind(each.finding) for each in before.report.suppressed)
    for finding in after.report.findings:
        kind = _kind(finding)
        if earlier[kind] or allowed[kind]:
            (earlier if earlier[kind] else allowed)[kind] -= 1
        elif finding.name != _MEANT and not _passes(finding, texts):
            return f"line {finding.place.line} would then be {finding.rule} {finding.name}: {finding.message}"
    return None


def _passes(finding: Finding, texts: Collection[Path]) -> bool:
    """It is mended in its turn."""
    if finding.rule not in FIXES or not isinstance(texts, Mapping):
        return False
    raw = texts.get(finding.place.file)
    return raw is not None and available(finding, decode(raw)) is not None


def _end(judged: Judged) -> Schema:
    schema = judged.schema.copy()
    for recording in judged.recordings:
        replay(schema, (statement.sql for statement in recording.statements))
    return schema


def _rows(recordings: Iterable[Recording]) -> list[str]:
    return [
        statement.sql
        for recording in recordings
        for statement in recording.statements
        if any(isinstance(operation, _ROWS) for operation in parse(statement.sql))
    ]


def _is_wanted_default(line: str, defaults: Collection[Finding]) -> bool:
    """The default of a column that could not have been added to a table with rows."""
    found = _DEFAULT.fullmatch(line)
    if found is None:
        return False
    added = (
        each for finding in defaults for each in parse(finding.sql or "") if isinstance(each, op.AddColumn)
    )
    return found["column"] in {f"{each.table}.{each.column.name}" for each in added}


def _kind(finding: Finding) -> tuple[object, ...]:
    """Lines move."""
    return finding.rule, finding.revision, finding.direction, _NUMBER.sub("", finding.message)


def _key(finding: Finding) -> tuple[object, ...]:
    return finding.rule, finding.place.file, finding.direction, finding.sql


# -- which files ----------------------------------------------------------------------------------------------
def _closed(project: Project, question: Question) -> Callable[[Finding], str | None]:
    if isinstance(question.selection, Files) or (
        isinstance(question.selection, Range) and ":" not in question.selection.text
    ):
        return lambda finding: None
    repository = question.repository or repository_of(project)
    since = question.selection if isinstance(question.selection, Since) else unreleased(project, repository)
    if since is None:
        if question.together:
            return lambda finding: None  # the range, or the database, was named by a person who knows
        return lambda finding: (
            "git does not tell here whether others have applied it; to have it mended, name it: "
            f"evolve lint {finding.revision} --fix"
        )
    history = read_history(project)
    before = revisions_before(project, history, since.reference, repository)
    new = {key for key, file in history.revisions.items() if before.differs(file) and key not in before.files}
    return lambda finding: (
        None
        if finding.revision in new
        else f"others may have applied it: it is part of {since.reference}; to have it mended all the same, name it: "
        f"evolve lint {finding.revision} --fix"
    )
