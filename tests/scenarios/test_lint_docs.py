"""The pages about linting are true: their commands run, and what is generated is fresh."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from support.command_line import evolve

from evolve.app.explain_rule import reference

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "evolve/docs/guides/lint.md"
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_reference_is_fresh() -> None:
    written = (ROOT / "evolve/docs/reference/rules.md").read_text(encoding="utf-8")

    assert written == reference(), "evolve explain --reference > evolve/docs/reference/rules.md"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "sample_projects/shop", tmp_path / "shop"))


def test_console_blocks_of_the_guide(shop: Path, pytestconfig: pytest.Config) -> None:
    """Each `$ command` is followed by what it prints, or by nothing where that is too long to show."""
    text = GUIDE.read_text(encoding="utf-8")

    run = CONSOLE.sub(lambda block: f"```console\n{transcript(block[1], shop)}```", text)

    if pytestconfig.getoption("--update-golden"):
        GUIDE.write_text(run, encoding="utf-8")
    assert run == text, "the guide prints something else; look, then: pytest --update-golden"


def transcript(block: str, directory: Path) -> str:
    """The commands of `block` with what they print now; output that the guide leaves out stays left out."""
    shown = ""
    for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE):
        if not part:
            continue
        line, _, printed = part.partition("\n")
        program, *arguments = shlex.split(line.removeprefix("$ "))
        if program == "cp":
            shutil.copy(directory / arguments[0], directory / arguments[1])
            output = ""
        else:
            assert program == "evolve"
            answer = evolve(*arguments, cwd=directory, env={"COLUMNS": "110"})
            assert answer.returncode in (0, 1), answer.stderr
            output = answer.stdout
        shown += f"{line}\n"
        if printed.startswith("…"):
            shown += "…\n"
        else:
            shown += output
    return shown
