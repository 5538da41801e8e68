"""What the linter says of a file as an editor has it: findings at their places, with what mends or allows them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from inspect import getfile
from pathlib import Path

from evolve.app.fix_revisions import Judged, mend
from evolve.app.lint_revisions import Question, lint
from evolve.errors import EvolveError
from evolve.lint.fixes import Fix, available
from evolve.lint.fixes.mending import decode
from evolve.lint.model import Finding, Report
from evolve.lint.rule import Rule
from evolve.lint.rules.allow import RULES as ABOUT_ALLOWING
from evolve.lsp import messages
from evolve.lsp.messages import Answer, Change, Mend, Note
from evolve.lsp.places import Places
from evolve.lsp.projects import Held, Load, Projects
from evolve.lsp.texts import as_bytes, with_text
from evolve.report.legible import legible, one_line
from evolve.report.wording import consequences, safe_heading, safe_parts
from evolve.revisions.cache.store import Store
from evolve.revisions.history import BrokenRevision, History, declared
from evolve.revisions.select import Files, Range
from evolve.sql.schema import Schema
from evolve.sql.steps import Recording
from evolve.values import dataclass

_MARK = "\ufeff"  # a byte order mark, which some editors leave in the text
_NEVER_ALLOWED = frozenset(rule.id for rule in ABOUT_ALLOWING)


class Judge:
    """
    Args:
        rules: all that there are.
        store: readings of earlier runs; findings are the same without.
        load: reads the settings that hold in a folder.
    """

    def __init__(self, rules: Sequence[Rule], store: Store | None, load: Load) -> None:
        self._rules = rules
        self._pages = {rule.id: rule for rule in rules}
        self._store = store
        self._projects = Projects(rules, store, load)

    def answer(self, question: messages.Question) -> Answer:
        if question.anew:
            self._projects.forget()
        file, mark = Path(question.file), len(question.text) - len(question.text.removeprefix(_MARK))
        text = question.text.removeprefix(_MARK)
        try:
            held = self._projects.around(file)
            path = held.known_as(file) if held is not None else None
            if held is None or path is None or not path.exists():
                return Answer()
            return _moved(self._answer(held, path, text, question), mark)
        except EvolveError as error:
            if declared(file, as_bytes(text)) is None:
                return Answer(log=str(error))  # any other file that is open
            return _moved(Answer((_trouble(error, file, Places(text)),), is_revision=True), mark)

    def _answer(self, held: Held, path: Path, text: str, question: messages.Question) -> Answer:
        history, texts = held.history, {path: as_bytes(text)}
        for name, other in question.others.items():
            known = held.known_as(Path(name))
            if known is not None and known != path and known.exists():
                texts[known] = as_bytes(other.removeprefix(_MARK))
                history, _ = with_text(history, known, texts[known])
        history, found = with_text(history, path, texts[path])
        if found is None:
            return Answer()
        asked = _Asked(held, path, text, history, texts, self._rules, self._store)
        report = asked.lint({})
        mended = asked.mended() if question.job == "mend" else None
        return Answer(tuple(self._notes(held, path, text, report)), is_revision=True, mended=mended)

    def _notes(self, held: Held, path: Path, text: str, report: Report) -> Iterator[Note]:
        places = Places(text)
        for finding in report.findings:
            if finding.place.file != path:
                continue  # of a setting, or of the baseline
            span = places.of(finding.place.line)
            rule = self._pages.get(finding.rule)
            fix = available(finding, text)
            yield Note(
                severity=str(finding.severity),
                code=finding.rule,
                start=span.start,
                end=span.end,
                message=_message(finding),
                details=_details(finding),
                page=_page(rule) if rule is not None else None,
                link=_link(rule, held.docs_url) if rule is not None else None,
                mend=_mend(fix) if fix is not None else None,
                allow=_allow(finding, places),
            )


@dataclass(frozen=True, slots=True)
class _Asked:
    """One file of one project, with the texts that are open."""

    held: Held
    path: Path
    text: str
    history: History
    texts: Mapping[Path, bytes]
    rules: Sequence[Rule]
    store: Store | None

    def judged(self, texts: Mapping[Path, bytes]) -> Judged:
        read: list[tuple[Schema, tuple[Recording, ...]]] = []
        report = self.lint(texts, lambda schema, recordings: read.append((schema.copy(), tuple(recordings))))
        schema, recordings = read[0]
        return Judged(report, schema, recordings)

    def lint(
        self,
        texts: Mapping[Path, bytes],
        on_read: Callable[[Schema, Sequence[Recording]], None] = lambda *_: None,
    ) -> Report:
        """Judge it; `texts` stand in the place of those that are open."""
        history = self.history
        for path, raw in texts.items():
            history, _ = with_text(history, path, raw)
        return lint(
            self.held.project,
            self._question(history),
            self.held.options,
            self.rules,
            store=self.store,
            texts={**self.texts, **texts},
            on_read=on_read,
            history=history,
            read_models=self.held.models,
        )

    def mended(self) -> Mend | None:
        """All that `evolve lint --fix` would do to the text; None where that is nothing."""
        raw = self.texts[self.path]
        mending = mend(self.judged, lambda _: None, {self.path: raw})
        for each in mending.mended:
            if each.file == self.path and each.after != raw:
                return Mend("Mend all that is sure", _differing(self.text, decode(each.after)))
        return None

    def _question(self, history: History) -> Question:
        file = next((file for file in history.revisions.values() if file.path == self.path), None)
        rollout, repository = self.held.rollout, self.held.repository
        if file is None:
            return Question(
                Files((self.path,)), "a file", together=True, rollout=rollout, repository=repository
            )
        together = rollout is not None or bool(file.down_revisions)
        return Question(
            Range(file.revision), "a file", together=together, rollout=rollout, repository=repository
        )


def rule_pages(rules: Sequence[Rule]) -> tuple[messages.RulePage, ...]:
    return tuple(messages.RulePage(rule.id, rule.name, one_line(rule.title), _page(rule)) for rule in rules)


def failure(question: messages.Question, error: Exception, came: str) -> Answer:
    """That evolve itself failed; without a word the file would look as if nothing were found in it."""
    text = question.text
    if declared(Path(question.file), as_bytes(text.removeprefix(_MARK))) is None:
        return Answer(log=came)
    span = Places(text).of(1)
    words = f"a bug in evolve: {type(error).__name__}: {legible(str(error))}; the server's log says where"
    return Answer((Note("error", "", span.start, span.end, words),), is_revision=True, log=came)


def _trouble(error: EvolveError, file: Path, places: Places) -> Note:
    """That nothing can be said, and why."""
    line = 1
    if isinstance(error, BrokenRevision) and error.file.path.name == file.name:
        line = error.file.line
    span = places.of(line)
    return Note(
        "error", "", span.start, span.end, legible(str(error)), details=f"```text\n{legible(str(error))}\n```"
    )


def _message(finding: Finding) -> str:
    """A sentence, and below it what it does to those who use the database."""
    lines = [finding.message, *(f"{label}: {words}" for label, words in consequences(finding))]
    return "\n".join(one_line(line) for line in lines)


def _details(finding: Finding) -> str:
    lines = [
        f"**{finding.rule} {one_line(finding.name)}** · {finding.severity}",
        "",
        one_line(finding.message),
        "",
    ]
    lines += [f"- {label}: {one_line(words)}" for label, words in consequences(finding)]
    lines += ["", one_line(finding.why)]
    if finding.safe:
        lines += ["", f"{safe_heading(finding)}:", "", "```python"]
        for heading, body in safe_parts(finding):
            lines += [heading] if heading else []
            lines.append(legible(body))
        lines.append("```")
    if finding.fix:
        words = one_line(finding.fix)
        lines += ["", f"fix: `{words}`" if words.startswith("evolve ") else f"fix: {words}"]
    return "\n".join(lines)


def _page(rule: Rule) -> str:
    return str(Path(getfile(type(rule))).with_suffix(".md"))


def _link(rule: Rule, docs_url: str | None) -> str:
    if docs_url and rule.comes_with_evolve:
        return f"{docs_url.rstrip('/')}/rules/{rule.id}.html"
    return Path(_page(rule)).as_uri()


def _allow(finding: Finding, places: Places) -> Mend | None:
    if finding.rule in _NEVER_ALLOWED:
        return None
    comment = places.comment_above(finding.place.line, f"# evolve: allow[{finding.name}] because ")
    return Mend(f"Allow {finding.name} here, with a reason", (comment,)) if comment is not None else None


def _mend(fix: Fix) -> Mend:
    return Mend(fix.title, tuple(Change(edit.start, edit.end, edit.text) for edit in fix.edits))


def _differing(old: str, new: str) -> tuple[Change, ...]:
    """Whole lines, so that what an editor shows beside them stays."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    starts = [0]
    for line in before:
        starts.append(starts[-1] + len(line))
    return tuple(
        Change(starts[a], starts[b], "".join(after[c:d]))
        for kind, a, b, c, d in difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes()
        if kind != "equal"
    )


def _moved(answer: Answer, by: int) -> Answer:
    """The same for a text that has `by` characters more at its beginning."""
    if not by:
        return answer

    def moved(mend: Mend | None) -> Mend | None:
        if mend is None:
            return None
        changes = (Change(each.start + by, each.end + by, each.text) for each in mend.changes)
        return Mend(mend.title, tuple(changes))

    notes = tuple(
        replace(
            note, start=note.start + by, end=note.end + by, mend=moved(note.mend), allow=moved(note.allow)
        )
        for note in answer.notes
    )
    return replace(answer, notes=notes, mended=moved(answer.mended))
