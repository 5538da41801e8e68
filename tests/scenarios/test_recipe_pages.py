"""Every recipe has a page of the same form, and what the page says can be run."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from support.alembic_project import AlembicProject
from support.pages import Section, run, sections

from evolve.plan import recipes

pytestmark = pytest.mark.server

PAGES = {kind.replace("-", "_"): path for kind, path in recipes.pages().items()}
HEADINGS = ["Use", "Phases", "What is carried over", "What is refused", "Going back"]
SECTIONS = [(name, section) for name, path in PAGES.items() for section in sections(path)]


def test_every_recipe_has_a_page() -> None:
    assert sorted(PAGES) == sorted(kind.replace("-", "_") for kind in recipes.kinds())


@pytest.mark.parametrize("name", PAGES)
def test_pages_have_the_same_headings(name: str) -> None:
    text = PAGES[name].read_text(encoding="utf-8")
    assert re.findall(r"^# (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE) == [
        name.replace("_", "-")
    ]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS


@pytest.mark.parametrize(
    "section",
    [
        # How a recipe is used is run each time; what is refused, and the way back, by `make test-long`.
        pytest.param(section, marks=[] if section.heading == "Use" else pytest.mark.long)
        for _, section in SECTIONS
    ],
    ids=[f"{name}: {section.heading}" for name, section in SECTIONS],
)
def test_what_a_page_says_can_be_run(
    section: Section, make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    run(section, make_project, database_url)
