"""The project as git's index holds it, which is what a commit will be made of."""

from __future__ import annotations

import dataclasses
import linecache
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from evolve.errors import EvolveError
from evolve.revisions.git import Change, Repository
from evolve.revisions.project import Project
from evolve.values import dataclass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Staged:
    """
    Args:
        project: its revisions, and all else that is Python or SQL, are what is staged; its settings are what they were
            in the working tree.
        repository: compares the index.
        top: where the files are known to lie.
        folder: where they lie for now; `top` where all is staged as it is.
    """

    project: Project
    repository: Repository
    top: Path
    folder: Path

    def there(self, path: Path) -> Path:
        """Where a file of the working tree lies as it is staged."""
        return _moved(path, self.top, self.folder)

    def named(self, value: T) -> T:
        """`value`, with every path in it and every text that holds one, by the names that files have for people."""
        return value if self.top == self.folder else _renamed(value, self.folder, self.top)

    def keep_lines(self, files: Collection[Path]) -> None:
        """Let reports show lines as they are staged, also when the copy is gone.

        Args:
            files: by the names that they have for people.
        """
        for file in files:
            lines = linecache.getlines(str(self.there(file)))
            linecache.cache[str(file)] = (sum(map(len, lines)), None, lines, str(file))


@contextmanager
def staged(project: Project, repository: Repository) -> Iterator[Staged]:
    """The staged project, for as long as the context lasts: itself where it is staged as it is, else a copy that is
    made of links to all that is, and of the index for the rest.

    Raises:
        Unmerged: a merge is in progress, and not resolved.
    """
    changed = repository.unstaged()
    versions = [directory.resolve() for directory in project.version_directories]
    untracked = [
        path
        for path in repository.untracked()
        if any(path.is_relative_to(directory) for directory in versions)
    ]
    if not changed and not untracked:
        yield Staged(project, repository.as_staged(repository.top), repository.top, repository.top)
        return
    # Seldom: hooks put aside what is not staged before they run.
    import tempfile

    with tempfile.TemporaryDirectory(prefix="evolve-staged-") as made:
        folder = Path(made).resolve()
        _mirror(repository, folder, changed, untracked)
        copy = dataclasses.replace(
            project,
            **{
                name: _renamed(getattr(project, name), repository.top, folder)
                for name in ("root", "configuration", "script_directory", "source_paths")
            },
            version_directories=tuple(
                path for each in versions if (path := _moved(each, repository.top, folder)).is_dir()
            ),
        )
        try:
            yield Staged(copy, repository.as_staged(folder), repository.top, folder)
        except EvolveError as error:
            for part in ("what", "why", "fix"):
                setattr(error, part, _renamed(getattr(error, part), folder, repository.top))
            raise


def _mirror(
    repository: Repository, folder: Path, changed: Sequence[Change], untracked: Sequence[Path]
) -> None:
    apart = {*(change.path for change in changed), *untracked}
    opened = {above for path in apart for above in path.parents if above.is_relative_to(repository.top)}

    def mirror(source: Path, target: Path) -> None:
        target.mkdir(exist_ok=True)
        with os.scandir(source) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            path = source / name
            if path in opened:
                mirror(path, target / name)
            elif path not in apart and name not in (".git", "__pycache__"):
                (target / name).symlink_to(path)

    mirror(repository.top, folder)
    # One that was only announced with `git add -N` has no contents in the index.
    repository.write_staged([change.path for change in changed if change.blob], folder)


def _moved(path: Path, origin: Path, target: Path) -> Path:
    real = path if path.is_relative_to(origin) else path.resolve()
    return target / real.relative_to(origin) if real.is_relative_to(origin) else path


def _renamed(value: Any, origin: Path, target: Path) -> Any:  # of any type, and the same again
    if isinstance(value, Path):
        return _moved(value, origin, target)
    if isinstance(value, str):
        return value.replace(str(origin), str(target))
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_renamed(item, origin, target) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {
            each.name: (part, _renamed(part, origin, target))
            for each in dataclasses.fields(value)
            if each.init
            for part in (getattr(value, each.name),)
        }
        changed = {name: new for name, (old, new) in parts.items() if new != old}
        return dataclasses.replace(value, **changed) if changed else value
    return value
