"""The README's road works as it is printed, on a copy of the shop."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import evolve

from evolve.app.demo.road import BAD_REVISION, Stage

pytestmark = pytest.mark.server

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    return make_stage("--size", "small")


def section(title: str) -> str:
    return README.read_text().split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_road(stage: Stage) -> None:
    commands = [line for block in blocks("sh", section("The road, once")) for line in block.splitlines()]
    assert len(commands) >= 9
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "evolve"
        stage.evolve(*words)
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name = "
    assert stage.count(f"{columns}'name'") == 0
    assert stage.count(f"{columns}'full_name'") == 1


def test_the_refused_revision_looks_as_printed(stage: Stage) -> None:
    shutil.copy(stage.folder / "bad_revisions" / BAD_REVISION, stage.folder / "migrations" / "versions")
    printed = blocks("console", section("The road, once"))[0].splitlines()
    command = printed.pop(0).removeprefix("$ evolve ")
    answer = evolve(*shlex.split(command), cwd=stage.folder, env={"SHOP_DATABASE_URL": stage.url})
    assert answer.returncode == 1
    assert [line for line in printed if line not in answer.stdout.splitlines()] == []


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
