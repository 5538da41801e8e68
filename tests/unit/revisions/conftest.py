"""A project for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.revision_files import Revisions


@pytest.fixture
def revisions(tmp_path: Path) -> Revisions:
    return Revisions(tmp_path / "project")
