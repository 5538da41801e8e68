"""Which revisions a question is about: a range, one revision, what is new since a git ref, or what is not applied."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from evolve.errors import Misuse
from evolve.revisions.before import Before, code, code_of, real_paths, revisions_before
from evolve.revisions.git import NoSuchReference, Repository
from evolve.revisions.history import (
    BrokenFile,
    BrokenRevision,
    History,
    NoSuchRevision,
    RevisionFile,
    broken_syntax,
)
from evolve.revisions.project import Project
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """`LOWER:UPPER`, after the first up to and with the second, either end may be left out; or one revision alone."""

    text: str


@dataclass(frozen=True, slots=True)
class Since:
    """Files added or changed since the branch left `reference`; what is not committed yet counts."""

    reference: str


@dataclass(frozen=True, slots=True)
class Files:
    """The revisions that these files declare; absolute paths. Other files among them are passed over."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Unapplied:
    """What a database still lacks; `applied` are the ids in its version table."""

    applied: tuple[str, ...]


Selection = Range | Since | Files | Unapplied


class UnknownApplied(Misuse):
    def __init__(self, revision: str) -> None:
        super().__init__(
            f'the database is at revision "{revision}", which no file here declares',
            why="what is left to run cannot be known: the database may be ahead of this checkout",
            fix="check out the release that the database was upgraded with, or newer",
        )


class NotARange(Misuse):
    def __init__(self, text: str, lower: str, upper: str) -> None:
        super().__init__(
            f'"{text}" is no range of revisions',
            fix=f"a range has one colon: {lower}:{upper}",
        )


class RevisionGiven(Misuse):
    def __init__(self, revision: str) -> None:
        super().__init__(
            f'--since takes a branch, tag or commit of git, and "{revision}" is a revision',
            fix=f"what comes after it: evolve lint {revision}:heads",
        )


def refuse(file: BrokenFile) -> None:
    raise BrokenRevision(file)


def select(
    project: Project,
    history: History,
    selection: Selection,
    *,
    on_broken: Callable[[BrokenFile], None] = refuse,
    on_note: Callable[[str], None] = lambda _: None,
    compiling: bool = True,
    repository: Repository | None = None,
) -> tuple[RevisionFile, ...]:
    """The revisions of `selection`, each after those it needs.

    Args:
        compiling: see whether each compiles as a whole; who reads them next finds out anyway.
        on_broken: told of each file among them, or perhaps among them, that cannot be read; where it returns, those
            whose id can be read are selected all the same.
        on_note: told what a person should know of the selection.
        repository: the one of the revisions, where the caller knows it already.

    Raises:
        BrokenRevision: one of them does not parse, or a file without a readable id may belong to them.
        RevisionGiven: the reference of `Since` is no git reference, but a revision.
        NotARange: it has dots or several colons.
        NoSuchRevision and the other causes of `History.resolve` and `History.between`: a name leads nowhere.
        NotARepository, and the causes of `find_repository`, `Repository.fork` and `Repository.changes`: `Since`
            cannot be answered.
        UnknownApplied: `Unapplied` names a revision that no file declares.
    """
    match selection:
        case Range(text):
            chosen = _range(history, text, on_broken)
        case Since(reference):
            chosen = _since(project, history, reference, on_broken, on_note, repository)
        case Files(paths):
            chosen = _files(history, paths, on_broken, on_note)
        case Unapplied(applied):
            chosen = unapplied(history, applied, on_broken=on_broken)
        case _:
            assert_never(selection)
    for file in chosen:
        broken = file.broken or (compile_error(file.path) if compiling else None)
        if broken is not None:
            on_broken(broken)
    return chosen


def unapplied(
    history: History, applied: Collection[str], *, on_broken: Callable[[BrokenFile], None] = refuse
) -> tuple[RevisionFile, ...]:
    """What is left to run on a database whose version table holds `applied`."""
    for revision in applied:
        if revision not in history.revisions:
            raise UnknownApplied(revision)
    _report_strangers(history, on_broken)
    return history.unapplied(applied)


def compile_error(path: Path) -> BrokenFile | None:
    """Why Python cannot compile the whole file; its history needs only the head of it."""
    try:
        source = path.read_bytes()
    except OSError as error:
        return BrokenFile(path, 0, error.strerror or str(error))
    try:
        ast.parse(source, filename=str(path))
    except (SyntaxError, ValueError) as error:
        return broken_syntax(path, source, error)
    return None


def _range(history: History, text: str, on_broken: Callable[[BrokenFile], None]) -> tuple[RevisionFile, ...]:
    if text in history.revisions:  # an id may hold any character
        return (history.revisions[text],)
    lower, colon, upper = text.partition(":")
    parts = [part for part in re.split(r":|\.{2,}", text) if part]
    if (colon and ":" in upper) or (".." in text and not colon) or not text:
        raise NotARange(text, parts[0] if parts else "base", parts[-1] if len(parts) > 1 else "heads")
    if not colon:
        try:
            return history.order(history.resolve(lower))
        except NoSuchRevision as error:
            file = Path(lower).exists()
            hint = "files end in .py or .sql" if file else "a branch or tag of git goes behind --since"
            error.fix = f"{error.fix}; {hint}"
            raise
    if upper.rpartition("@")[2] in ("", "head", "heads"):
        _report_strangers(history, on_broken)
    return history.between(lower or "base", upper or "heads")


def _files(
    history: History,
    paths: Sequence[Path],
    on_broken: Callable[[BrokenFile], None],
    on_note: Callable[[str], None],
) -> tuple[RevisionFile, ...]:
    wanted = {path.resolve(): path for path in paths}
    here = real_paths(history)
    for broken in history.broken:
        if here[broken.path] in wanted:
            on_broken(broken)
    found = [key for key, file in history.revisions.items() if here[file.path] in wanted]
    passed = [path for real, path in wanted.items() if real not in here.values()]
    if passed:
        names = [path.name for path in passed]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        on_note(f"passed over, for no revision of this project: {', '.join(names[:3])}{more}")
    return history.order(found)


def _report_strangers(history: History, on_broken: Callable[[BrokenFile], None]) -> None:
    """A file without a readable id may be a head: `heads` would pass over it in silence."""
    known = {file.path for file in history.revisions.values()}
    for broken in history.broken:
        if broken.path not in known:
            on_broken(broken)


def _since(
    project: Project,
    history: History,
    reference: str,
    on_broken: Callable[[BrokenFile], None],
    on_note: Callable[[str], None],
    repository: Repository | None,
) -> tuple[RevisionFile, ...]:
    try:
        before = revisions_before(project, history, reference, repository)
    except NoSuchReference:
        if reference in history.revisions:
            raise RevisionGiven(reference) from None
        raise
    for broken in history.broken:
        if before.differs(broken):
            on_broken(broken)
    edited = {
        key: _is_edited(before, file)
        for key, file in history.revisions.items()
        if before.differs(file) and not before.is_as_it_was(file)
    }
    for squash in before.squashes(history):
        edited.pop(squash.revision, None)
        for key in squash.children:
            if not edited.get(key, True) or before.only_has_other_parents(history.revisions[key]):
                edited.pop(key, None)
        on_note(squash.words)
    lost = before.lost(history)
    if lost:
        which = "it" if len(lost) == 1 else "one of them"
        on_note(
            f"no file declares {', '.join(lost)} any more; a database that has {which} can go neither up nor down"
        )
    return tuple(
        replace(file, edited=edited[file.revision], was_there=file.revision in before.files)
        for file in history.order(edited)
    )


def _is_edited(before: Before, file: RevisionFile) -> bool:
    """Whether its code is another one than it was; a new revision is not edited."""
    there = before.files.get(file.revision)
    return there is not None and code(there.source) != code_of(file.path)
