"""The application's mapped classes, of the release that runs and of the one to come: found, and read as text alone."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from evolve.compat.find import Found, followed, named
from evolve.compat.models import NO_PYTHON, Gap, Models
from evolve.compat.read_models import read_models
from evolve.compat.source import Code, Sources, Trees
from evolve.revisions.git import NotARepository, Repository, find_repository
from evolve.revisions.project import Project
from evolve.sql.steps import Recording
from evolve.values import dataclass

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", ".git", ".venv", "venv"})
# A revision without one of these breaks no code and adds nothing.
_TOUCHES = re.compile(r"\b(?:ALTER|DROP|RENAME|CREATE\s+(?:UNLOGGED\s+)?TABLE|DO|SELECT)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Releases:
    """`old`: what runs before the revisions; `new`: what goes with them. None where they could not be found.

    `sought` is False where nothing depends on them, and nobody looked. `unread` are files that are no Python: what they
    map is not known.
    """

    old: Models | None = None
    new: Models | None = None
    sought: bool = False
    unread: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as the previous release.

    Args:
        words: for a person: "9f3c2ab of main".
        differing: files that are not there as they are here, absolute and resolved, with their contents there.
    """

    words: str
    repository: Repository
    differing: Mapping[Path, str | None]

    def lacks(self, file: Path) -> bool:
        """The file is not there, or is another one."""
        return file.resolve() in self.differing


def touches_tables(recordings: Collection[Recording]) -> bool:
    """Whether it can matter to anything in `recordings` what the models say."""
    return any(_TOUCHES.search(statement.sql) for each in recordings for statement in each.statements)


def read_releases(
    project: Project, places: Sequence[str], base: Path, commit: Commit | None, *, new: bool
) -> Releases:
    """The models of the working tree, and those of `commit` where it is given.

    Args:
        places: files, folders, globs from `base`, or packages; what `env.py` imports where there are none.
        new: whether the working tree is the release that goes with the revisions.
    """
    trees: Trees = {}
    tree = WorkingTree()
    here, unread = _read(project, places, base, tree, trees, "the working tree")
    if commit is None:
        return Releases(None, here if new else None, sought=True, unread=unread)
    if tree.seen.isdisjoint(commit.differing) and not any(not file.exists() for file in commit.differing):
        there = replace(here, where=commit.words) if here is not None else None
    else:
        there, unread_there = _read(project, places, base, AtCommit(commit, tree), trees, commit.words)
        unread += tuple(replace(gap, reason=f"{gap.reason}, at {commit.words}") for gap in unread_there)
    return Releases(there, here if new else None, sought=True, unread=unread)


def commit_at(project: Project, reference: str, repository: Repository | None = None) -> Commit:
    """The commit that a person named.

    Args:
        repository: the project's, where the caller knows it already.

    Raises:
        NoSuchReference: git knows none of that name.
        NotARepository: there is none; and the causes of `find_repository`.
    """
    repository = repository or find_repository(project.root)
    if repository is None:
        raise NotARepository(project.root, "--old-models")
    return _commit(repository, repository.commit(reference), reference)


def fork_from(repository: Repository, reference: str) -> Commit:
    """Where HEAD left `reference`.

    Raises:
        The causes of `Repository.fork` and `Repository.changes`.
    """
    fork = repository.fork(reference)
    return _commit(repository, fork, f"{fork[:9]} of {reference}")


def _commit(repository: Repository, commit: str, words: str) -> Commit:
    return Commit(words, repository, {change.path: change.blob for change in repository.changes(commit)})


@dataclass(slots=True)
class WorkingTree:
    """The files as they are; `seen` are those that were read."""

    seen: set[Path] = field(default_factory=set)
    _texts: dict[Path, str | None] = field(default_factory=dict)

    def read(self, path: Path) -> str | None:
        if path not in self._texts:
            try:
                self._texts[path] = path.read_text(encoding="utf-8-sig")
                self.seen.add(path)
            except (OSError, UnicodeDecodeError):
                self._texts[path] = None
        return self._texts[path]

    def below(self, folder: Path) -> Sequence[Path]:
        found: list[Path] = []
        for path, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED)
            found += (Path(path, name) for name in sorted(names) if name.endswith(".py"))
        return found


@dataclass(slots=True)
class AtCommit:
    """The files as they were at a commit, without a checkout."""

    commit: Commit
    tree: WorkingTree
    _texts: dict[Path, str | None] = field(default_factory=dict)

    def read(self, path: Path) -> str | None:
        if path not in self.commit.differing:
            return self.tree.read(path)
        if not self._texts:
            # All at once: each question to git costs a process.
            blobs = self.commit.differing
            contents = self.commit.repository.contents(blob for blob in blobs.values() if blob)
            for file, blob in blobs.items():
                source = contents.get(blob) if blob else None
                self._texts[file] = None if source is None else source.decode("utf-8-sig", errors="replace")
        return self._texts[path]

    def below(self, folder: Path) -> Sequence[Path]:
        gone = {path for path in self.commit.differing if path.is_relative_to(folder) and not path.exists()}
        return sorted(path for path in gone.union(self.tree.below(folder)) if self.read(path) is not None)


def _read(
    project: Project, places: Sequence[str], base: Path, sources: Sources, trees: Trees, where: str
) -> tuple[Models | None, tuple[Gap, ...]]:
    """The models, and the files among those looked at that are no Python.

    None where nothing is mapped: an application without models, or one whose models are not found.
    """
    code = Code(sources, _roots(project, base), trees)
    environment = (project.script_directory / "env.py").resolve()
    found: Found = named(code, places, base.resolve()) if places else followed(code, environment)
    models = read_models(code, found.files, where, found.gaps)
    unread = tuple(Gap(path, line, NO_PYTHON) for path, line in sorted(code.broken.items()))
    return (models if models.tables else None), unread


def _roots(project: Project, base: Path) -> tuple[Path, ...]:
    """Where imports of the application start: what alembic.ini says, and the usual places around it."""
    ini = project.configuration.parent
    places = (*project.source_paths, project.root, project.root / "src", base, ini, ini / "src", ini.parent)
    return tuple(dict.fromkeys(path.resolve() for path in places if path.is_dir()))
