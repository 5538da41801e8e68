"""Findings that were there when linting began: what is written of them, and which findings they are.

A file of JSON lines, one finding each and sorted, so that git shows and merges them one by one:

    {"evolve-baseline": 1}
    {"revision": "ae10", "rule": "EV204", "statement": "5d41402abc4b", "sql": "alter table users drop column name"}

A finding is known by its revision, its rule and the words of its statement. So it survives other line numbers, another
layout of the SQL and another name of the file, and comes back where the statement is changed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from evolve.errors import Misuse
from evolve.lint.model import Finding
from evolve.values import dataclass

FORMAT = 1
NAME = "evolve-baseline.jsonl"

_TITLE = "evolve-baseline"
_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")
_SHOWN = 70  # characters of the statement, for people
_DIGITS = 12
_WRITE_ANEW = "evolve lint --write-baseline"

Direction = Literal["upgrade", "downgrade"]


class NoBaseline(Misuse):
    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(
            f'the baseline "{file}" cannot be read: {reason}',
            why="without it every finding that was known would be told again",
            fix=f"write one: {_WRITE_ANEW}, correct its path, or leave it out: --no-baseline",
        )


class BrokenBaseline(Misuse):
    """`line` counts from 1."""

    def __init__(self, file: Path, line: int, reason: str) -> None:
        super().__init__(
            f"{file}:{line}: {reason}",
            fix=f"restore the line from git, or remove it and run {_WRITE_ANEW}",
        )


class ConflictInBaseline(Misuse):
    def __init__(self, file: Path, line: int) -> None:
        super().__init__(
            f"{file}:{line}: a merge left its marks in the baseline",
            why="each side has findings that the other one lacks",
            fix="remove the lines with <<<<<<<, ======= and >>>>>>>, and keep all others; git does it by itself "
            f"with this line in .gitattributes: {file.name} merge=union",
        )


class BaselineOfAnotherVersion(Misuse):
    def __init__(self, file: Path, version: object) -> None:
        newer = isinstance(version, int) and version > FORMAT
        super().__init__(
            f"{file}: the baseline has format {version}, and this evolve knows format {FORMAT}",
            why="a newer evolve wrote it" if newer else None,
            fix="upgrade evolve here: pip install -U alembic-evolve"
            if newer
            else f"remove the file and write it anew: {_WRITE_ANEW}",
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One or several findings that cannot be told apart.

    Args:
        revision: its id; the path of a file of SQL, from the folder of the baseline.
        rule: its id.
        statement: what its words come to; empty where the finding is about the file.
        sql: how it begins, for people.
        times: how many findings of that rule the statement has.
        line: of the baseline; 0 where it is not written yet.
    """

    revision: str
    rule: str
    statement: str
    sql: str = field(default="", compare=False)
    direction: Direction = "upgrade"
    times: int = field(default=1, compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Baseline:
    file: Path
    entries: tuple[Entry, ...] = ()

    @property
    def count(self) -> int:
        """How many findings it knows."""
        return sum(entry.times for entry in self.entries)


class Known:
    """Counts off which findings of a baseline are met."""

    def __init__(self, baseline: Baseline) -> None:
        self._folder = baseline.file.parent
        self._entries = {entry: entry for entry in baseline.entries}
        self._met: Counter[Entry] = Counter()
        self._places = {(entry.revision, entry.rule) for entry in baseline.entries}

    def take(self, finding: Finding) -> Entry | None:
        """The entry that knows `finding`, unless it has been met as often as it was written."""
        if (revision_of(finding, self._folder), finding.rule) not in self._places:
            return None  # what a statement's words come to takes a while
        entry = self._entries.get(entry_of(finding, self._folder))
        if entry is None:
            return None
        self._met[entry] += 1
        return entry if self._met[entry] <= entry.times else None

    def gone(
        self, had_its_chance: Callable[[Entry], bool], also: Callable[[], Iterable[Finding]]
    ) -> Iterator[Entry]:
        """What was not met, as often as it was not.

        Args:
            had_its_chance: whether a finding of the entry would have been found.
            also: gives findings of the same revisions, judged in another way.
        """
        lacking = [e for e in self._entries if self._met[e] < e.times and had_its_chance(e)]
        if not lacking:
            return
        otherwise = Counter(
            entry_of(finding, self._folder)
            for finding in also()
            if (revision_of(finding, self._folder), finding.rule) in self._places
        )
        for entry in lacking:
            missing = entry.times - max(self._met[entry], otherwise[entry])
            if missing > 0:
                yield Entry(
                    entry.revision,
                    entry.rule,
                    entry.statement,
                    entry.sql,
                    entry.direction,
                    missing,
                    entry.line,
                )


def read(file: Path) -> Baseline:
    """
    Raises:
        NoBaseline, BrokenBaseline, ConflictInBaseline, BaselineOfAnotherVersion.
    """
    try:
        # Not by splitlines(): it parts texts at signs that JSON leaves as they are.
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise NoBaseline(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise NoBaseline(file, "it is not UTF-8") from error
    for number, line in enumerate(lines, 1):
        if line.startswith(_CONFLICT):
            raise ConflictInBaseline(file, number)
    if f'"{_TITLE}"' not in lines[0]:
        raise NoBaseline(file, f'it does not begin with {{"{_TITLE}": {FORMAT}}}')
    version = _object(file, 1, lines[0])[_TITLE]
    if version != FORMAT:
        raise BaselineOfAnotherVersion(file, version)
    entries = (
        _entry(file, number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and line.strip() != lines[0].strip()
    )
    merged: dict[Entry, Entry] = {}
    for entry in entries:
        # A merge of both sides can leave two lines of one entry.
        if entry not in merged or merged[entry].times < entry.times:
            merged[entry] = entry
    return Baseline(file, tuple(merged.values()))


def render(entries: Iterable[Entry]) -> str:
    """The text of a baseline with `entries`."""
    lines = [json.dumps({_TITLE: FORMAT})]
    for entry in sorted(entries, key=lambda e: (e.revision, e.rule, e.direction, e.sql, e.statement)):
        document: dict[str, object] = {"revision": entry.revision, "rule": entry.rule}
        if entry.statement:
            document |= {"statement": entry.statement, "sql": entry.sql}
        if entry.direction != "upgrade":
            document["direction"] = entry.direction
        if entry.times > 1:
            document["times"] = entry.times
        lines.append(json.dumps(document, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def updated(old: Baseline, findings: Iterable[Finding], gone: Iterable[Entry]) -> Baseline:
    """`old` without what is `gone`, and with all of `findings`."""
    folder = old.file.parent
    times = Counter({entry: entry.times for entry in old.entries})
    for entry in gone:
        times[entry] -= entry.times
    for entry, count in Counter(entry_of(finding, folder) for finding in findings).items():
        times[entry] = max(times[entry], count)
    return Baseline(
        old.file,
        tuple(
            Entry(entry.revision, entry.rule, entry.statement, entry.sql, entry.direction, count)
            for entry, count in times.items()
            if count > 0
        ),
    )


def entry_of(finding: Finding, folder: Path) -> Entry:
    """What is written of `finding` in a baseline in `folder`."""
    words = _words(finding.sql, finding.sql_line) if finding.sql is not None else ""
    return Entry(
        revision_of(finding, folder),
        finding.rule,
        sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS] if words else "",
        _shown(words),
        finding.direction,
    )


def revision_of(finding: Finding, folder: Path) -> str:
    """What stands for its revision in a baseline in `folder`: the id, or the path of the file of SQL."""
    return revision_in(finding.revision, finding.place.file, folder)


def revision_in(revision: str, file: Path, folder: Path) -> str:
    return revision if file.suffix == ".py" else Path(os.path.relpath(file, folder)).as_posix()


@lru_cache(maxsize=1024)
def _words(sql: str, line: int) -> str:
    """The statements that begin at `line`, without comments and layout; what is not quoted in small letters."""
    # The parser takes as long to load as Alembic, beside which it is loaded where revisions are read.
    from evolve.sql.parse import tokens
    from evolve.sql.script import pieces

    parts = list(pieces(sql))
    there = [p.sql for p in parts if p.first_line == line] or [
        p.sql for p in parts if p.first_line <= line <= p.last_line
    ]
    meant = "; ".join(there) or sql
    raw = meant.encode("utf-8", "surrogateescape")
    words = [
        raw[begin:end].decode("utf-8", "surrogateescape")
        for kind, begin, end in tokens(meant)
        if not kind.endswith("COMMENT")
    ]
    return " ".join(word if _quoted(word) else word.lower() for word in words)


def _shown(words: str) -> str:
    text = words.encode("utf-8", "replace").decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _quoted(word: str) -> bool:
    return any(sign in word for sign in "'\"$")


def _object(file: Path, number: int, line: str) -> Mapping[str, object]:
    try:
        found: object = json.loads(line)
    except ValueError as error:
        raise BrokenBaseline(file, number, "the line is no JSON") from error
    if not isinstance(found, dict):
        raise BrokenBaseline(file, number, "the line is no object of JSON")
    return found


def _entry(file: Path, number: int, line: str) -> Entry:
    found = _object(file, number, line)
    text: dict[str, str] = {}
    for key in ("revision", "rule", "statement", "sql", "direction"):
        value = found.get(key, "upgrade" if key == "direction" else "")
        if not isinstance(value, str) or (key in ("revision", "rule") and not value):
            raise BrokenBaseline(file, number, f'"{key}" must be a text')
        text[key] = value
    times = found.get("times", 1)
    if not isinstance(times, int) or isinstance(times, bool) or times < 1:
        raise BrokenBaseline(file, number, '"times" must be a whole number of at least 1')
    unknown: Sequence[str] = [key for key in found if key not in (*text, "times")]
    if unknown:
        raise BrokenBaseline(file, number, f'"{unknown[0]}" means nothing in a baseline')
    direction: Direction = "downgrade" if text["direction"] == "downgrade" else "upgrade"
    if text["direction"] != direction:
        raise BrokenBaseline(file, number, '"direction" must be upgrade or downgrade')
    return Entry(text["revision"], text["rule"], text["statement"], text["sql"], direction, times, number)
