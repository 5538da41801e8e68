"""The guide about deployed versions can be followed, and what it would have an application say is understood."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import Engine
from support.alembic_project import AlembicProject
from support.deployed import rows, until
from support.pages import Section, run, sections

pytestmark = pytest.mark.server

GUIDE = Path(str(files("evolve") / "docs" / "guides" / "registry.md"))
SECTIONS = list(sections(GUIDE))
IN_PYTHON = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("section", SECTIONS, ids=[section.heading for section in SECTIONS])
def test_the_guide_can_be_followed(
    section: Section, make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    run(section, make_project, database_url)


def test_applications_report_as_the_guide_says(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    [section] = [section for section in SECTIONS if section.heading == "In the database"]
    run(section, make_project, database_url)
    hearts = []
    for code in IN_PYTHON:
        said = code.replace(
            "postgresql+psycopg://app@localhost/shop", database_url.replace("://", "+psycopg://", 1)
        )
        names: dict[str, object] = {}
        exec(said.replace("postgresql://app@localhost/shop", database_url), names)  # noqa: S102 - of the guide
        hearts.append(names)
        engine = names.get("engine")
        if isinstance(engine, Engine):
            engine.connect().close()
            engine.dispose()
    query = "SELECT application, version FROM evolve_client.instance ORDER BY 1"
    until(lambda: rows(database_url, query) == [("mailer", "2026.11.3"), ("shop", "2026.11.3")])
