"""Which project a file is a revision of, and what is kept of that project from one edit to the next."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from evolve import config as settings
from evolve.app.lint_baseline import find_baseline
from evolve.app.lint_revisions import Options, repository_of, unreleased
from evolve.app.lint_settings import options_of
from evolve.errors import EvolveError
from evolve.lint import baseline
from evolve.lint.rule import Rule
from evolve.revisions.cache.declared import read_history_through
from evolve.revisions.cache.store import Store
from evolve.revisions.git import Repository
from evolve.revisions.history import History, read_history
from evolve.revisions.models import Commit, Releases, read_releases
from evolve.revisions.project import Project, find_project
from evolve.revisions.select import Since
from evolve.values import dataclass

Stamp = tuple[object, ...]
Load = Callable[[Path], settings.Config]

_SETTINGS = ("evolve.toml", "pyproject.toml", "alembic.ini")
_ALEMBICS_TABLE = re.compile(r"^\[tool\.alembic\b", re.MULTILINE)
# What git writes when it commits, fetches, pushes, or goes to another branch; its index changes far more often.
_OF_GIT = ("HEAD", "logs/HEAD", "packed-refs", "FETCH_HEAD", "refs/heads", "refs/remotes/origin")


class Models:
    """Reads the models of the releases, each time the same is asked only once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Releases] = {}

    def __call__(
        self, project: Project, places: Sequence[str], base: Path, commit: Commit | None, *, new: bool
    ) -> Releases:
        key = (tuple(places), base, commit.words if commit is not None else None, new)
        if key not in self._known:
            self._known[key] = read_releases(project, places, base, commit, new=new)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Held:
    """One project as it was when it was looked at.

    Args:
        rollout: what the branch adds; None where git does not know.
        docs_url: of the site of evolve's pages.
    """

    project: Project
    options: Options
    history: History
    repository: Repository | None
    rollout: Since | None
    docs_url: str | None
    models: Models

    def known_as(self, file: Path) -> Path | None:
        """The name by which the project knows `file`; None where it can be none of its revisions."""
        if not file.name.endswith(".py") or file.name.startswith(("__init__", ".#")):
            return None
        folder = file.parent.resolve()
        for directory in self.project.version_directories:
            real = directory.resolve()
            if folder == real or (self.project.recursive and folder.is_relative_to(real)):
                return directory / folder.relative_to(real) / file.name
        return None


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was found for a folder, and the state of what it was found by."""

    watched: tuple[Path, ...]
    directories: tuple[Path, ...]
    stamp: Stamp
    found: Held | EvolveError | None


class Projects:
    """
    Args:
        rules: all that there are.
        store: readings of earlier runs.
        load: reads the settings that hold in a folder.
    """

    def __init__(self, rules: Sequence[Rule], store: Store | None, load: Load) -> None:
        self._rules = rules
        self._load = load
        self._store = store
        self._looked: dict[Path, _Looked] = {}

    def forget(self) -> None:
        """Look at all anew when it is needed."""
        self._looked.clear()

    def around(self, file: Path) -> Held | None:
        """The project that `file` is a revision of, looked at anew where anything has changed; None where it is none.

        Raises:
            EvolveError: its settings, its revisions or its repository cannot be read.
        """
        folder = file.parent
        looked = self._looked.get(folder)
        if looked is None or looked.stamp != _stamp(looked.watched, looked.directories):
            looked = self._looked[folder] = self._look(file)
        if isinstance(looked.found, EvolveError):
            raise looked.found.with_traceback(None)
        return looked.found

    def _look(self, file: Path) -> _Looked:
        watched = [above / name for above in file.parents for name in _SETTINGS]
        directories: tuple[Path, ...] = ()
        before = _stamp(watched, ())
        found: Held | EvolveError | None = None
        try:
            for config, project in _candidates(file, self._load):
                watched += _behind(config, project)
                directories = _folders(project)
                before = _stamp(watched, directories)
                found = self._hold(file, config, project)
                if found is not None:
                    break
        except EvolveError as error:
            found = error
        return _Looked(tuple(watched), directories, before, found)

    def _hold(self, file: Path, config: settings.Config, project: Project) -> Held | None:
        held = Held(project, Options(), History({}), None, None, config.lint.docs_url, Models())
        if held.known_as(file) is None:
            return None
        history = read_history(project) if self._store is None else read_history_through(project, self._store)
        repository = repository_of(project)
        return replace(
            held,
            options=self._options(config, project),
            history=history,
            repository=repository,
            rollout=unreleased(project, repository),
        )

    def _options(self, config: settings.Config, project: Project) -> Options:
        options = options_of(config)
        folder = config.file.parent if config.file is not None else project.root
        options = replace(options, baseline=find_baseline(None, config.lint.baseline, folder))
        if not options.import_from:
            return options
        from evolve.app.import_ignores import import_ignores

        imported = import_ignores(options.import_from, project.root, self._rules)
        return replace(options, imported=imported.reasons)


def _candidates(file: Path, load: Load) -> Iterator[tuple[settings.Config, Project]]:
    """Projects whose configuration lies above `file`, the nearest first."""
    tried: set[tuple[Path, Path | None]] = set()
    for folder in file.parents:
        if not any((folder / name).is_file() for name in _SETTINGS):
            continue
        config = load(folder)
        configured = config.alembic_config
        if configured is not None and config.file is not None:
            start: tuple[Path, Path | None] = (config.file.parent, configured)
        elif (folder / "alembic.ini").is_file() or _speaks_of_alembic(folder / "pyproject.toml"):
            start = (folder, None)
        else:
            continue
        if start in tried:
            continue
        tried.add(start)
        project = find_project(start[0], configuration=start[1], section=config.alembic_section)
        yield config, project
        for section in project.other_sections:
            yield config, find_project(start[0], configuration=start[1], section=section)


def _speaks_of_alembic(file: Path) -> bool:
    try:
        return _ALEMBICS_TABLE.search(file.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False


def _behind(config: settings.Config, project: Project) -> Iterator[Path]:
    """Files besides the settings that decide what is said of a revision."""
    yield project.configuration
    yield project.script_directory / "env.py"
    yield config.lint.baseline or (config.file.parent if config.file else project.root) / baseline.NAME
    if config.lint.facts is not None:
        yield config.lint.facts
    for folder in (project.root, *project.root.parents):
        git = folder / ".git"
        if git.exists():
            yield from (_git_directory(git) / name for name in _OF_GIT)
            break


def _git_directory(git: Path) -> Path:
    """`git` itself, or where it says that the repository of a second working tree lies."""
    with suppress(OSError):
        if git.is_file():
            return git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    return git


def _folders(project: Project) -> tuple[Path, ...]:
    if not project.recursive:
        return project.version_directories
    return tuple(
        Path(folder) for directory in project.version_directories for folder, _, _ in os.walk(directory)
    )


def _stamp(files: Sequence[Path], directories: Sequence[Path]) -> Stamp:
    """Times and sizes of `files` and of all Python files in `directories`; another one where anything was saved."""
    found: list[object] = []
    for file in files:
        try:
            status = os.stat(file)  # noqa: PTH116  # dozens of them at each key
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            found.append(None)
    for directory in directories:
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name.endswith(".py"):
                        status = entry.stat()
                        found.append((entry.name, status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return tuple(found)
