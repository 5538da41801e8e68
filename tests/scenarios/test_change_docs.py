"""The guide about changes can be followed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from support.alembic_project import AlembicProject
from support.pages import Section, run, sections

pytestmark = pytest.mark.server

GUIDE = Path(str(files("evolve") / "docs" / "guides" / "change.md"))
SECTIONS = list(sections(GUIDE))


@pytest.mark.parametrize("section", SECTIONS, ids=[section.heading for section in SECTIONS])
def test_the_guide_can_be_followed(
    section: Section, make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    run(section, make_project, database_url)
