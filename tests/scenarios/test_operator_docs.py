"""The guide for operators can be followed at night: each of its sections, command by command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.alembic_project import AlembicProject
from support.pages import Section, run, sections

pytestmark = pytest.mark.server

GUIDE = Path(__file__).parents[2] / "evolve/docs/guides/operator.md"
SECTIONS = list(sections(GUIDE))


@pytest.mark.parametrize("section", SECTIONS, ids=[section.heading for section in SECTIONS])
def test_section(section: Section, make_project: Callable[..., AlembicProject], database_url: str) -> None:
    run(section, make_project, database_url)


def test_every_section_that_says_what_to_do_is_run() -> None:
    assert len(SECTIONS) == GUIDE.read_text().count("\n## ")
