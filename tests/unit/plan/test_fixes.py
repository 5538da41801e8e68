"""What errors tell people to run is there to be run."""

from __future__ import annotations

import re
from pathlib import Path

import evolve
from evolve.plan.recipes import kinds


def test_a_fix_names_only_recipes_that_there_are() -> None:
    named = {
        (path.name, name)
        for path in Path(evolve.__file__).parent.rglob("*.py")
        for name in re.findall(r"evolve plan ([a-z]+(?:-[a-z]+)+)", path.read_text("utf-8"))
    }
    assert {each for each in named if each[1] not in kinds()} == set()
