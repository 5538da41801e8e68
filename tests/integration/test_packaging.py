"""The wheel that is published holds all that the installed command needs, and nothing of the workshop."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from support.git import git

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_package_is_in_it(names: set[str]) -> None:
    tracked = git(ROOT, "ls-files", "evolve").splitlines()
    assert {name for name in tracked if (ROOT / name).exists()} - names == set()


def test_nothing_of_the_workshop_is_in_it(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {
        "evolve",
        "evolve_samples",
        *(folder.name for folder in (ROOT / "plugins").iterdir() if folder.is_dir()),
    }


def test_nothing_that_was_compiled_or_cached_is_in_it(names: set[str]) -> None:
    assert [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".db"))] == []


def test_installed_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", tmp_path, wheel],
        check=True,
        capture_output=True,
    )
    # Before the editable installation that the tests run from.
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import evolve, evolve.cli, sys; print(evolve.__file__); evolve.cli.main()",
            "--version",
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said.startswith(str(tmp_path))


def test_every_plugin_of_ours_is_an_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {value.split(":")[0] for value in project["entry-points"]["evolve.plugins"].values()}
    assert declared == {folder.name for folder in (ROOT / "plugins").iterdir() if folder.is_dir()}
