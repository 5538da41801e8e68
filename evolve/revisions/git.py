"""What git knows of the files around a project; the one place that runs it."""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from evolve.errors import Misuse
from evolve.values import dataclass

_SECONDS = 60.0
# Set by git for its hooks, and relative to where the hook began.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_INDEX_FILE", "GIT_COMMON_DIR")
_FILES = "*.py"
_LINK_TO_A_REPOSITORY = "160000"


class GitMissing(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "what is new is asked of git, and there is no `git` on the PATH",
            fix="install git, or name a range: evolve lint base:heads",
        )


class NotARepository(Misuse):
    def __init__(self, directory: Path, option: str) -> None:
        super().__init__(
            f'{option} needs a git repository, and "{directory}" lies in none',
            fix="name the revisions instead, as in ae1027a:heads",
        )


class BareRepository(Misuse):
    def __init__(self, directory: Path) -> None:
        super().__init__(
            f'"{directory}" lies in a bare git repository, which has no files of its own to compare',
            fix="clone it and run evolve there, or name a range: evolve lint base:heads",
        )


class UnsafeRepository(Misuse):
    def __init__(self, directory: Path) -> None:
        super().__init__(
            f'git does not trust the owner of this repository, "{directory}"',
            why="settings of a stranger's repository can run programs, so that git reads none of it",
            fix=f'if you trust it: git config --global --add safe.directory "{directory}"',
        )


class NoCommits(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "nothing is committed yet on this branch, so that it has left no other",
            fix="commit something, or check all revisions: evolve lint base:heads",
        )


class NoSuchReference(Misuse):
    """
    Args:
        nearest: branches and tags that there are.
        shallow: the clone lacks older commits, and maybe other branches.
    """

    def __init__(self, reference: str, nearest: Sequence[str] = (), *, shallow: bool = False) -> None:
        near = f"did you mean {' or '.join(nearest)}? Else fetch it" if nearest else "fetch it"
        branch = reference.removeprefix("origin/")
        fetch = f"git fetch origin {branch}:refs/remotes/origin/{branch}"
        if reference in ("", "origin/"):
            super().__init__(
                f'"{reference}" names no commit: a variable that should name the branch is empty',
                why="CI sets it for pull requests only, or calls it otherwise",
                fix="name a branch, a tag or a commit: origin/main, HEAD~1",
            )
            return
        super().__init__(
            f'git knows no commit "{reference}"',
            why="the clone is shallow: CI often fetches a single commit" if shallow else None,
            fix=f"{near} (`{fetch}`, or fetch-depth: 0 in CI), or name another branch, tag or commit",
        )


class NoCommonAncestor(Misuse):
    def __init__(self, reference: str, *, shallow: bool) -> None:
        why = "what is new is counted from where the branch left"
        super().__init__(
            f'"{reference}" and HEAD have no commit in common',
            why=f"{why}; this clone is shallow and does not reach so far" if shallow else why,
            fix="fetch the whole history: `git fetch --unshallow`, or fetch-depth: 0 in CI"
            if shallow
            else "name a commit of this branch (HEAD~1), or a range: base:heads",
        )


class Unmerged(Misuse):
    def __init__(self, files: Sequence[Path]) -> None:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        super().__init__(
            f"a merge is in progress, and {files[0]}{more} is not resolved",
            why="the index holds several versions of it, and nobody can say which will be committed",
            fix=f"resolve it and `git add {files[0]}`",
        )


class GitFailed(Misuse):
    def __init__(self, command: str, reason: str) -> None:
        super().__init__(
            f"`git {command}` failed: {reason}",
            fix="see whether `git status` works here, or name a range: base:heads",
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A Python file that is not as it was at a commit.

    Args:
        path: absolute, links above it followed.
        blob: its contents there, for `Repository.contents`; None where it was not there.
        gone: it is not here any more.
    """

    path: Path
    blob: str | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository that a folder lies in. Answers are kept: nothing is asked twice of the same object.

    Args:
        top: of its working tree.
        files: where the files lie that are compared: `top`, or a copy of what is staged.
        staged: the index is compared, not the working tree.
        shallow: it lacks older commits.
    """

    top: Path
    files: Path
    environment: Mapping[str, str] = field(repr=False, compare=False)
    shallow: bool = False
    staged: bool = False
    _changes: dict[str, tuple[Change, ...]] = field(default_factory=dict, repr=False, compare=False)
    _forks: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _untracked: list[tuple[Path, ...]] = field(default_factory=list, repr=False, compare=False)

    def holds(self, directory: Path) -> bool:
        """Whether files of `directory` are this repository's, and not those of another one within."""
        folder = directory.resolve()
        if not folder.is_relative_to(self.files):
            return False
        between = folder.relative_to(self.files).parts
        return not any(
            self.files.joinpath(*between[:end], ".git").exists() for end in range(1, len(between) + 1)
        )

    def as_staged(self, files: Path) -> Repository:
        """The same with what is staged, which lies as files in `files`."""
        return replace(self, files=files, staged=True, _changes={}, _forks=self._forks, _untracked=[])

    def commit(self, reference: str) -> str:
        """
        Raises:
            NoSuchReference: git knows none of that name.
        """
        wanted = f"{reference}^{{commit}}"
        done = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
        if done.returncode:
            raise self._unknown(reference)
        return _text(done.stdout).strip()

    def fork(self, reference: str) -> str:
        """The commit where HEAD left `reference`.

        Raises:
            NoSuchReference: git knows none of that name.
            NoCommits: HEAD has none.
            NoCommonAncestor: they have nothing in common, or a shallow clone does not reach so far.
        """
        if reference not in self._forks:
            done = self._run("merge-base", "--end-of-options", reference, "HEAD")
            if done.returncode:
                if self._run("rev-parse", "--verify", "--quiet", "HEAD").returncode:
                    raise NoCommits
                self.commit(reference)
                raise NoCommonAncestor(reference, shallow=self.shallow)
            self._forks[reference] = _text(done.stdout).strip()
        return self._forks[reference]

    def default_branch(self, candidates: Sequence[str]) -> str | None:
        """The first of `candidates` that there is."""
        known = self._references(
            *(f"refs/{'remotes' if '/' in name else 'heads'}/{name}" for name in candidates)
        )
        return next((name for name in candidates if name in known), None)

    def branches(self) -> list[str]:
        return [name for name in self._references("refs/heads", "refs/remotes") if not name.endswith("/HEAD")]

    def remotes(self) -> list[str]:
        """The addresses of the repositories that this one knows."""
        done = self._run("config", "--get-regexp", r"^remote\..*\.url$")
        return [line.partition(" ")[2] for line in _text(done.stdout).splitlines()]

    @property
    def has_commits(self) -> bool:
        return self._run("rev-parse", "--verify", "--quiet", "HEAD").returncode == 0

    def changes(self, commit: str) -> tuple[Change, ...]:
        """Python files that differ from those of `commit`, moved ones under both names; new ones too, also where git
        does not track them yet.

        Raises:
            Unmerged: what is staged is asked for while a merge is not resolved.
        """
        if commit not in self._changes:
            found = self._differing(*(("--cached",) if self.staged else ()), commit)
            self._changes[commit] = (*found, *map(Change, self.untracked()))
        return self._changes[commit]

    def unstaged(self) -> tuple[Change, ...]:
        """Files of Python and SQL that are not as they are staged; `blob` is what is staged.

        Raises:
            Unmerged: a merge is not resolved.
        """
        return self._differing(patterns=(_FILES, "*.sql"), refuse_unmerged=True)

    def untracked(self) -> tuple[Path, ...]:
        """Python files that git neither tracks nor ignores."""
        if self.staged:
            return ()
        if not self._untracked:
            listed = self._answer("ls-files", "--others", "--exclude-standard", "-z", "--", _FILES)
            self._untracked.append(tuple(self.files / name for name in listed.split("\0") if name))
        return self._untracked[0]

    def contents(self, blobs: Iterable[str]) -> Mapping[str, bytes]:
        """What each of `blobs` holds; those that are not there, as in a partial clone without its server, are left
        out.
        """
        wanted = list(dict.fromkeys(blobs))
        if not wanted:
            return {}
        done = self._run("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in wanted).encode())
        rest, found = done.stdout, {}
        for blob in wanted:
            head, _, rest = rest.partition(b"\n")
            words = head.split()
            if len(words) == 3 and words[1] == b"blob":  # name, kind, size
                size = int(words[2])
                found[blob], rest = rest[:size], rest[size + 1 :]
        return found

    def write_staged(self, files: Sequence[Path], folder: Path) -> None:
        """Write `files` of the index, as a checkout would, at their places below `folder`."""
        names = "".join(f"{file.relative_to(self.top)}\0" for file in files)
        done = self._run(
            "checkout-index", "--force", "-z", "--stdin", f"--prefix={folder}/", stdin=os.fsencode(names)
        )
        if done.returncode:
            raise _failed("checkout-index", done)

    def _differing(
        self, *compared: str, patterns: Sequence[str] = (_FILES,), refuse_unmerged: bool = False
    ) -> tuple[Change, ...]:
        # Against the working tree, so that what is staged or only saved counts. Who moved is found by revision ids.
        words = iter(
            self._answer(
                "diff",
                "--raw",
                "-z",
                "--no-abbrev",
                "--no-ext-diff",
                "--no-renames",
                *compared,
                "--",
                *patterns,
            ).split("\0")
        )
        found: list[Change] = []
        unmerged: list[Path] = []
        for head in words:
            if not head:
                continue
            old_mode, new_mode, old, _, status = head.removeprefix(":").split(" ")
            path = self.files / next(words)
            if status == "U":
                unmerged.append(path)
            elif _LINK_TO_A_REPOSITORY not in (old_mode, new_mode):
                found.append(Change(path, old if old.strip("0") else None, gone=status == "D"))
        if unmerged and (self.staged or refuse_unmerged):
            raise Unmerged([path.relative_to(self.files) for path in unmerged])
        return tuple(found)

    def _references(self, *patterns: str) -> list[str]:
        return self._answer("for-each-ref", "--format=%(refname:lstrip=2)", *patterns).split()

    def _unknown(self, reference: str) -> NoSuchReference:
        known = self._references("refs/heads", "refs/remotes", "refs/tags")
        return NoSuchReference(
            reference, difflib.get_close_matches(reference, known, n=2), shallow=self.shallow
        )

    def _answer(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode:
            raise _failed(arguments[0], done)
        return _text(done.stdout)

    def _run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return _run(self.top, arguments, self.environment, stdin)


def find_repository(directory: Path) -> Repository | None:
    """The repository that `directory` lies in, whatever hook of another one runs; None where it lies in none.

    Raises:
        GitMissing: it lies in one, and git is not installed.
        UnsafeRepository, BareRepository, GitFailed: git cannot say what is new there.
    """
    folder = directory.resolve()
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    # Words of errors are understood below; a hook holds the lock that an index is refreshed under.
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = _discover(folder, environment)
    except GitMissing:
        if any((above / ".git").exists() for above in (folder, *folder.parents)):
            raise
        return None
    if done.returncode and "GIT_DIR" in os.environ:
        # A repository that lies apart from its files, as those of dotfiles do.
        apart = {name: os.environ[name] for name in ("GIT_DIR", "GIT_WORK_TREE") if name in os.environ}
        environment |= {name: str(Path(value).absolute()) for name, value in apart.items()}
        environment.setdefault("GIT_WORK_TREE", str(Path.cwd()))
        done = _discover(folder, environment)
    said = done.stderr.decode(errors="replace")
    if "not a git repository (or any" in said:
        return None
    if "dubious ownership" in said or "unsafe repository" in said:
        raise UnsafeRepository(_owned(folder))
    if "must be run in a work tree" in said:
        raise BareRepository(folder)
    if done.returncode:
        raise _failed("rev-parse", done)
    *lines, git_directory, shallow = _text(done.stdout).removesuffix("\n").split("\n")
    top = Path("\n".join(lines)).resolve()
    environment |= _index(top, Path(git_directory))
    return Repository(top, top, environment, shallow=shallow == "true")


def _discover(folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    return _run(
        folder,
        ("rev-parse", "--show-toplevel", "--absolute-git-dir", "--is-shallow-repository"),
        environment,
    )


def _index(top: Path, git_directory: Path) -> Mapping[str, str]:
    """The index that a hook is to look at, such as that of `git commit FILE`; unless it is another repository's."""
    hook = os.environ.get("GIT_DIR")
    named = os.environ.get("GIT_INDEX_FILE")
    if not named or (hook and Path(hook).resolve() != git_directory.resolve()):
        return {}
    index = top / named
    inside = index.resolve().is_relative_to(git_directory.resolve())
    others = not inside and ".git" in index.parts
    return {"GIT_INDEX_FILE": str(index)} if index.is_file() and not others else {}


def _owned(folder: Path) -> Path:
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)


def _run(
    directory: Path, arguments: Sequence[str], environment: Mapping[str, str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # fixed arguments, no shell; a reference is never an option
            ["git", "-C", str(directory), "--no-pager", *arguments],  # noqa: S607  # the user's own git
            capture_output=True,
            check=False,
            input=stdin,
            timeout=_SECONDS,
            env=environment,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise GitMissing from error
    except subprocess.TimeoutExpired as error:
        raise GitFailed(arguments[0], f"no answer in {_SECONDS:.0f} s") from error


def _failed(command: str, done: subprocess.CompletedProcess[bytes]) -> GitFailed:
    said = done.stderr.decode(errors="replace").strip()
    return GitFailed(command, said.splitlines()[0] if said else f"exit status {done.returncode}")


def _text(output: bytes) -> str:
    """Names in whatever bytes they are."""
    return os.fsdecode(output)
