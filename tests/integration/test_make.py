"""`make` on machines where the virtual environment cannot be made says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def stand_in(folder: Path, script: str) -> Path:
    """A program that takes the place of python3."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_no_python_is_said(checkout: Path) -> None:
    done = make(checkout, "test", "PYTHON=python9")
    assert "evolve needs Python 3.11 or newer, and there is no python9" in done.stdout


def test_old_python_is_said(checkout: Path, tmp_path: Path) -> None:
    old = stand_in(tmp_path, 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    done = make(checkout, "test", f"PYTHON={old}")
    assert f"evolve needs Python 3.11 or newer; {old} is Python 3.9.2" in done.stdout


def test_python_without_venv_is_said(checkout: Path, tmp_path: Path) -> None:
    bare = stand_in(tmp_path, 'case "$2" in *ensurepip*) exit 1;; esac')
    done = make(checkout, "test", f"PYTHON={bare}")
    assert "apt-get install python3-venv" in done.stdout


def test_nothing_is_installed_again_while_pyproject_is_unchanged(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "installed").touch()
    assert make(checkout, "--question", ".venv/installed").returncode == 0


def test_changed_pyproject_is_installed_again(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    stamp = checkout / ".venv" / "installed"
    stamp.touch()
    newer = stamp.stat().st_mtime_ns + 10**9
    os.utime(checkout / "pyproject.toml", ns=(newer, newer))
    assert make(checkout, "--question", ".venv/installed").returncode == 1


def test_help_lists_every_target(checkout: Path) -> None:
    listed = make(checkout).stdout
    assert [
        name for name in ("demo", "test", "test-long", "check", "bench") if f"make {name} " not in listed
    ] == []
