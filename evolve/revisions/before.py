"""The revisions as they were at an earlier commit, and what has become of them since: edited, moved, squashed, lost."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from evolve.revisions.git import NotARepository, Repository, find_repository
from evolve.revisions.history import BrokenFile, History, RevisionFile, declared
from evolve.revisions.project import Project
from evolve.values import dataclass

_PLACE_IN_HISTORY = frozenset({"down_revision", "depends_on"})


@dataclass(frozen=True, slots=True)
class Earlier:
    """A revision at that commit; `path` is the one of then."""

    revision: str
    down_revisions: tuple[str, ...]
    path: Path
    source: bytes


@dataclass(frozen=True, slots=True)
class Squash:
    """A revision that stands for several that are gone.

    Args:
        children: ids that built on one of those, and build on it now.
        words: for a person.
    """

    revision: str
    children: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Before:
    """
    Args:
        differing: files of revisions that are new or changed, links followed.
        files: revisions of then whose file has changed or is gone, by their ids; the others are as they were.
        here: files of now, with links followed.
    """

    differing: frozenset[Path]
    files: Mapping[str, Earlier]
    here: Mapping[Path, Path]

    def differs(self, file: RevisionFile | BrokenFile) -> bool:
        """It is new, changed or moved."""
        return self.here[file.path] in self.differing

    def is_as_it_was(self, file: RevisionFile) -> bool:
        """Its code is that of then, `downgrade()` too; its name, its layout and its comments may be other ones."""
        there = self.files.get(file.revision)
        if there is None:
            return False
        try:
            here = file.path.read_bytes()
        except OSError:
            return False
        if there.source == here:
            return True
        then = code(there.source, way_back=True)
        return then is not None and then == code(here, way_back=True)

    def only_has_other_parents(self, file: RevisionFile) -> bool:
        """Its code is that of then but for what it builds on."""
        there = self.files.get(file.revision)
        return there is not None and code(there.source, _PLACE_IN_HISTORY) == code_of(
            file.path, _PLACE_IN_HISTORY
        )

    def lost(self, history: History) -> list[str]:
        """Ids that no file declares any more, and no squash stands for."""
        squashed = {gone for squash in self._squashed(history).values() for gone in squash}
        unreadable = {self.here[file.path] for file in history.broken}
        return [
            key
            for key, there in self.files.items()
            if key not in history.revisions and key not in squashed and there.path not in unreadable
        ]

    def squashes(self, history: History) -> Iterator[Squash]:
        """Revisions that stand where several stood, with the same parents and children: the database of anybody who
        runs them is empty, and that of anybody else has them already.
        """
        for revision, gone in self._squashed(history).items():
            children = [
                key
                for key in history.children.get(revision, ())
                if key in self.files and not gone.isdisjoint(self.files[key].down_revisions)
            ]
            words = (
                f"{revision} stands for {len(gone)} revisions that are gone ({', '.join(sorted(gone))}): "
                "taken as applied, not judged"
            )
            yield Squash(revision, tuple(children), words)

    def _squashed(self, history: History) -> Mapping[str, frozenset[str]]:
        gone = frozenset(key for key in self.files if key not in history.revisions)
        found: dict[str, frozenset[str]] = {}
        for group in self._connected(gone):
            for key, file in history.revisions.items():
                if not self.differs(file):
                    continue
                earlier = self.files.get(key)
                replaced = group | {key} if earlier is not None else group
                touches = earlier is None or not group.isdisjoint(earlier.down_revisions)
                several = len(replaced) > 1
                if several and touches and set(file.down_revisions) == self._parents(replaced):
                    found[key] = group
                    break
        return found

    def _parents(self, revisions: Collection[str]) -> set[str]:
        """What `revisions` built on beside themselves."""
        return {
            parent
            for key in revisions
            for parent in self.files[key].down_revisions
            if parent not in revisions
        }

    def _connected(self, revisions: frozenset[str]) -> Iterator[frozenset[str]]:
        """Those of `revisions` that built on each other, together."""
        left = set(revisions)
        while left:
            group = {left.pop()}
            while more := {
                key
                for key in left
                if not group.isdisjoint(self.files[key].down_revisions)
                or any(key in self.files[member].down_revisions for member in group)
            }:
                group |= more
                left -= more
            yield frozenset(group)


def revisions_before(
    project: Project, history: History, reference: str, known: Repository | None = None
) -> Before:
    """The revisions where HEAD left `reference`.

    Args:
        known: the repository of the first version directory, where the caller has it already.

    Raises:
        NotARepository: a version directory lies in none; and the causes of `find_repository`, `Repository.fork` and
            `Repository.changes`.
    """
    here = real_paths(history)
    present = frozenset(here.values())
    differing: set[Path] = set()
    files: dict[str, Earlier] = {}
    for repository, directories in _repositories(project, known):
        changes = repository.changes(repository.fork(reference))
        changed = present & {change.path.resolve() for change in changes if not change.gone}
        differing |= {path for path in changed if _within(path, directories)}
        # Where a version directory is wholly new, its revisions may have lain anywhere.
        settled = all(
            any(_within(path, [directory]) for path in present - changed) for directory in directories
        )
        old = [
            (change, change.blob)
            for change in changes
            if change.blob and (_within(change.path, directories) or (change.gone and not settled))
        ]
        texts = repository.contents(blob for _, blob in old)
        for change, blob in old:
            source = texts.get(blob, b"")
            found = declared(change.path, source)
            if isinstance(found, RevisionFile):
                path = change.path if change.gone else change.path.resolve()
                files[found.revision] = Earlier(found.revision, found.down_revisions, path, source)
    return Before(frozenset(differing), files, here)


def real_paths(history: History) -> Mapping[Path, Path]:
    """Its files, each with links followed; few folders hold all of them, and to follow those takes its time."""
    paths = [file.path for file in history.revisions.values()] + [file.path for file in history.broken]
    folders: dict[Path, Path] = {}
    found: dict[Path, Path] = {}
    for path in paths:
        folder = folders.get(path.parent)
        if folder is None:
            folder = folders[path.parent] = path.parent.resolve()
        found[path] = path.resolve() if path.is_symlink() else folder / path.name
    return found


def _within(path: Path, directories: Sequence[Path]) -> bool:
    return any(path.is_relative_to(directory) for directory in directories)


def _repositories(project: Project, known: Repository | None) -> list[tuple[Repository, list[Path]]]:
    """Each repository with the version directories in it: some may lie in one of their own."""
    found: list[tuple[Repository, list[Path]]] = [(known, [])] if known is not None else []
    for directory in project.version_directories:
        folder = directory.resolve()
        for repository, directories in found:
            if repository.holds(folder):
                directories.append(folder)
                break
        else:
            fresh = find_repository(folder)
            if fresh is None:
                raise NotARepository(directory, "--since")
            found.append((fresh, [folder]))
    return [(repository, directories) for repository, directories in found if directories]


def code_of(file: Path, without: frozenset[str] = frozenset()) -> str | None:
    try:
        return code(file.read_bytes(), without)
    except OSError:
        return None


def code(source: str | bytes, without: frozenset[str] = frozenset(), *, way_back: bool = False) -> str | None:
    """What Python makes of it on the way up: comments, line breaks and quotes are no difference, nor are its docstring
    and downgrade(), which is always run as it is by then. None where it is no Python.

    Args:
        without: names whose assignments count for nothing.
        way_back: downgrade() counts as well.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    tree.body = [
        part
        for part in tree.body
        if (way_back or not (isinstance(part, ast.FunctionDef) and part.name == "downgrade"))
        and not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        and without.isdisjoint(_assigned(part))
    ]
    return ast.dump(tree)


def _assigned(part: ast.stmt) -> set[str]:
    targets = (
        part.targets
        if isinstance(part, ast.Assign)
        else [part.target]
        if isinstance(part, ast.AnnAssign)
        else []
    )
    return {target.id for target in targets if isinstance(target, ast.Name)}
