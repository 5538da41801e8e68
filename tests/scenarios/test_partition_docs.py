"""The guide to partitioning is true: its commands run and end in the status it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import pages
from support.alembic_project import AlembicProject

GUIDE = Path(__file__).parents[2] / "evolve/docs/guides/partition.md"
SECTIONS = list(pages.sections(GUIDE))

pytestmark = pytest.mark.server


@pytest.mark.parametrize("section", SECTIONS, ids=[section.heading for section in SECTIONS])
def test_section(
    section: pages.Section, make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    assert "orders" in pages.run(section, make_project, database_url)
