"""The guide about upgrades can be followed, and its settings are the defaults."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import asdict, fields
from importlib.resources import files
from pathlib import Path

import pytest
from support.alembic_project import AlembicProject
from support.pages import Section, run, sections

from evolve.config import Upgrade
from evolve.config_preflight import Preflight

GUIDE = Path(str(files("evolve") / "docs" / "guides" / "upgrade.md"))
SECTIONS = list(sections(GUIDE))


@pytest.mark.server
@pytest.mark.parametrize("section", SECTIONS, ids=[section.heading for section in SECTIONS])
def test_the_guide_can_be_followed(
    section: Section, make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    printed = run(section, make_project, database_url)
    commands = [line for kind, text in section.blocks if kind == "sh" for line in text.splitlines()]
    applies = any("--sql" not in command for command in commands)
    assert ("nothing to do" in printed) is applies


def test_the_settings_shown_are_the_defaults() -> None:
    shown = re.findall(r"^```toml\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    tables = tomllib.loads("".join(shown))["tool"]["evolve"]
    assert tables["upgrade"] == {**asdict(Upgrade()), "terminate_blockers": []}
    defaults = {each.name: getattr(Preflight(), each.name) for each in fields(Preflight)}
    assert {**tables["preflight"], "role": None} == {**defaults, "disk_free": []}
