"""Which revisions a question is about: a range, one revision, what is new since a git ref, or what is not applied."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from evolve.errors import Misuse
from evolve.revisions.history import BrokenFile, BrokenRevision, History, RevisionFile
from evolve.revisions.project import Project
from evolve.values import dataclass

_GIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Range:
    """`LOWER:UPPER`, after the first up to and with the second, either end may be left out; or one revision alone."""

    text: str


@dataclass(frozen=True, slots=True)
class Since:
    """Files added or changed since the branch left `reference`; what is not committed yet counts."""

    reference: str


@dataclass(frozen=True, slots=True)
class Unapplied:
    """What a database still lacks; `applied` are the ids in its version table."""

    applied: tuple[str, ...]


Selection = Range | Since | Unapplied


class GitMissing(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "--since needs git, and there is no `git` on the PATH",
            fix="install git, or name a range: base:heads",
        )


class NotARepository(Misuse):
    def __init__(self, directory: Path) -> None:
        super().__init__(
            f'--since needs a git repository, and "{directory}" lies in none',
            fix="name the revisions instead, as in ae1027a:heads",
        )


class NoSuchReference(Misuse):
    def __init__(self, reference: str) -> None:
        super().__init__(
            f'git knows no commit "{reference}"',
            fix=f"fetch it (`git fetch origin {reference}`), or name another: origin/main, HEAD~1, a tag",
        )


class NoCommonAncestor(Misuse):
    def __init__(self, reference: str) -> None:
        super().__init__(
            f'"{reference}" and HEAD have no commit in common',
            why="what is new is counted from where the branch left; a shallow clone does not reach so far",
            fix="clone with the whole history: `git fetch --unshallow`, or fetch-depth: 0 in CI",
        )


class GitFailed(Misuse):
    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"`git {command}` failed: {reason}")


class UnknownApplied(Misuse):
    def __init__(self, revision: str) -> None:
        super().__init__(
            f'the database is at revision "{revision}", which no file here declares',
            why="what is left to run cannot be known: the database may be ahead of this checkout",
            fix="check out the release that the database was upgraded with, or newer",
        )


def refuse(file: BrokenFile) -> None:
    raise BrokenRevision(file)


def select(
    project: Project,
    history: History,
    selection: Selection,
    *,
    on_broken: Callable[[BrokenFile], None] = refuse,
    compiling: bool = True,
) -> tuple[RevisionFile, ...]:
    """The revisions of `selection`, each after those it needs.

    Args:
        compiling: see whether each compiles as a whole; who reads them next finds out anyway.
        on_broken: told of each file among them, or perhaps among them, that cannot be read; where it returns, those
            whose id can be read are selected all the same.

    Raises:
        BrokenRevision: one of them does not parse, or a file without a readable id may belong to them.
        NoSuchRevision and the other causes of `History.resolve` and `History.between`: a name leads nowhere.
        GitMissing, NotARepository, NoSuchReference, NoCommonAncestor, GitFailed: `Since` cannot be answered.
        UnknownApplied: `Unapplied` names a revision that no file declares.
    """
    match selection:
        case Range(text):
            chosen = _range(history, text, on_broken)
        case Since(reference):
            chosen = _since(project, history, reference, on_broken)
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
        ast.parse(path.read_bytes(), filename=str(path))
    except OSError as error:
        return BrokenFile(path, 0, error.strerror or str(error))
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) and error.lineno else 0
        return BrokenFile(path, line, f"{type(error).__name__}: {getattr(error, 'msg', None) or error}")
    return None


def _range(history: History, text: str, on_broken: Callable[[BrokenFile], None]) -> tuple[RevisionFile, ...]:
    if text in history.revisions:  # an id may hold any character
        return (history.revisions[text],)
    lower, colon, upper = text.partition(":")
    if not colon:
        return history.order(history.resolve(lower))
    if upper.rpartition("@")[2] in ("", "head", "heads"):
        _report_strangers(history, on_broken)
    return history.between(lower or "base", upper or "heads")


def _report_strangers(history: History, on_broken: Callable[[BrokenFile], None]) -> None:
    """A file without a readable id may be a head: `heads` would pass over it in silence."""
    known = {file.path for file in history.revisions.values()}
    for broken in history.broken:
        if broken.path not in known:
            on_broken(broken)


def _since(
    project: Project, history: History, reference: str, on_broken: Callable[[BrokenFile], None]
) -> tuple[RevisionFile, ...]:
    changed: dict[Path, bool] = {}
    for directory in project.version_directories:
        changed |= _changed_files(directory, reference)
    for broken in history.broken:
        if broken.path.resolve() in changed:
            on_broken(broken)
    new = [key for key, file in history.revisions.items() if file.path.resolve() in changed]
    return tuple(replace(file, edited=changed[file.path.resolve()]) for file in history.order(new))


def _changed_files(directory: Path, reference: str) -> dict[Path, bool]:
    """The files that are new or changed; True where a file was there before and its code is another one now."""
    top = Path(
        _git(directory, ["rev-parse", "--show-toplevel"], NotARepository(directory)).removesuffix("\n")
    )
    commit = _git(
        directory,
        ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}"],
        NoSuchReference(reference),
    ).strip()
    fork = _git(directory, ["merge-base", commit, "HEAD"], NoCommonAncestor(reference)).strip()
    # Against the working tree, so that what is staged or only saved counts; a file that merely moved does not.
    differing = _git(
        directory,
        [
            "diff",
            "--name-status",
            "-z",
            "--no-ext-diff",
            "--find-renames=100%",
            "--diff-filter=ACMT",
            fork,
            "--",
            ".",
        ],
    )
    untracked = _git(
        directory, ["ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", "."]
    )
    changed = {(top / name).resolve(): False for name in untracked.split("\0") if name}
    words = iter(differing.split("\0"))
    for status in words:
        if not status:
            continue
        name = next(words)
        if status.startswith("C"):
            name = next(words)  # behind the one it was copied from
        file = (top / name).resolve()
        changed[file] = status == "M" and _code(_git(top, ["show", f"{fork}:{name}"])) != _code_of(file)
    return changed


def _code_of(file: Path) -> str | None:
    try:
        return _code(file.read_bytes())
    except OSError:
        return None


def _code(source: str | bytes) -> str | None:
    """What Python makes of it on the way up: comments, line breaks and quotes are no difference, nor are its docstring
    and downgrade(), which is always run as it is by then. None where it is no Python.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    tree.body = [
        part
        for part in tree.body
        if not (isinstance(part, ast.FunctionDef) and part.name == "downgrade")
        and not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
    ]
    return ast.dump(tree)


def _git(directory: Path, arguments: Sequence[str], on_failure: Misuse | None = None) -> str:
    try:
        done = subprocess.run(  # fixed arguments, no shell; a reference is never an option
            ["git", "-C", str(directory), "--no-pager", *arguments],  # noqa: S607  # the user's own git
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_GIT_SECONDS,
        )
    except FileNotFoundError as error:
        raise GitMissing from error
    except subprocess.TimeoutExpired as error:
        raise GitFailed(arguments[0], f"no answer in {_GIT_SECONDS:.0f} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        if on_failure is not None and "dubious ownership" not in said:
            raise on_failure
        raise GitFailed(arguments[0], said.splitlines()[0] if said else f"exit status {done.returncode}")
    return done.stdout.decode(errors="surrogateescape")
