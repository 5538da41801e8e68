"""Everything besides the revisions themselves that their readings and the schema after them depend on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from evolve.revisions.cache.store import Store
from evolve.revisions.digest import digest
from evolve.revisions.project import Project

_OWN = ("sql", "revisions", "plan", "partition", "errors.py", "__init__.py")
_LIBRARIES = ("alembic", "sqlalchemy")
# Drivers that are installed decide how transactions are counted where the URL names none.
_DRIVERS = ("psycopg2", "asyncpg")
_METADATA = (".dist-info", ".egg-info", ".egg-link", ".pth")
_RACY_NANOSECONDS = 3_000_000_000


def fingerprint(project: Project, time_limit: float, store: Store) -> bytes | None:
    """A digest of this evolve, its libraries, Python, and the project's settings; None where that cannot be known."""
    own = Path(__file__).parents[2]
    try:
        parts = [
            digest(*(part for path in _python_files(own, _OWN) for part in (str(path), path.read_bytes()))),
            *(_library(name, store) for name in _LIBRARIES),
            digest(*_installed()),
            digest(repr((sys.version, sys.flags, sys.path, [find_spec(name) is None for name in _DRIVERS]))),
            digest(*(f"{name}={value}" for name, value in sorted(os.environ.items()) if "ALCHEMY" in name)),
            digest(repr((project, time_limit))),  # its URL is left out, by its repr; the next lines hold it
            digest(project.database_url or ""),
            *(digest(path.read_bytes()) for path in _settings(project)),
        ]
    except OSError:
        return None
    return digest(*parts)


def _settings(project: Project) -> Iterator[Path]:
    yield project.configuration
    environment = project.script_directory / "env.py"
    if environment.is_file():
        yield environment


def _python_files(root: Path, names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        path = root / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else (path,)


def _installed() -> Iterator[str]:
    """What is installed, with its versions: plugins of Alembic may be among it."""
    for entry in dict.fromkeys(sys.path):
        try:
            names = os.listdir(entry or ".")  # noqa: PTH208  # names are all that is wanted
        except OSError:
            continue
        yield entry
        yield from sorted(name for name in names if name.endswith(_METADATA))


def _library(name: str, store: Store) -> bytes:
    """The contents of an installed package; they are read again only where sizes or times of its files changed."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(name)
    files: list[str] = []
    seen: list[str] = []
    newest = 0
    for path, status in _tree(os.path.dirname(spec.origin)):  # noqa: PTH120  # hundreds of them, in a hurry
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        files.append(path)
        seen.append(f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}")
    key = digest("library", *seen)
    known = store.get(key)
    if known is None:
        known = digest(*(part for path in files for part in (path, Path(path).read_bytes())))
        # What was changed just now may change again without a trace in the times of its files.
        if time.time_ns() - newest > _RACY_NANOSECONDS:
            store.put(key, "library", known)
    return known


def _tree(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _tree(entry.path)
        elif entry.name.endswith((".py", ".so", ".pyd")):
            yield entry.path, entry.stat()
