"""Where the sample projects are: beside the package in a checkout, else in what was installed."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from evolve.errors import Misuse


class NoSample(Misuse):
    def __init__(self, name: str) -> None:
        super().__init__(
            f'the sample project "{name}" is not installed',
            why="it is part of the wheel and of the source tree, but neither is complete here",
            fix="install again: pip install --force-reinstall alembic-evolve",
        )


def copy_sample(name: str, folder: Path) -> Path:
    """Copy a sample project below `folder`, where its migrations may be written to; returns the copy.

    Raises:
        NoSample: the installation lacks it.
    """
    source = _find(name)
    target = folder / name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    return target


def _find(name: str) -> Path:
    here = Path(__file__).resolve().parents[2] / "sample_projects" / name
    if here.joinpath("alembic.ini").is_file():
        return here
    installed = find_spec("evolve_samples")
    for place in installed.submodule_search_locations or () if installed else ():
        found = Path(place) / name
        if found.joinpath("alembic.ini").is_file():
            return found
    raise NoSample(name)
