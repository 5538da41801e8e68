"""The guide for developers can be followed: its files are written, its commands run, and print what it shows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import environment
from support.git import git

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "evolve/docs/guides/developer.md"
BLOCK = re.compile(r"^```(python|console)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"# exit (\d)$")
PROGRAMS = {
    "evolve": (sys.executable, "-m", "evolve"),
    "pytest": (sys.executable, "-m", "pytest"),
    "git": ("git",),
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shop on a branch that has nothing new yet."""
    folder = Path(shutil.copytree(ROOT / "sample_projects/shop", tmp_path / "shop"))
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "shop")
    git(folder, "switch", "-q", "-c", "clerks")
    return folder


def test_the_guide_from_its_top_to_its_end(
    shop: Path, database_url: str, pytestconfig: pytest.Config
) -> None:
    text = GUIDE.read_text(encoding="utf-8")

    def followed(block: re.Match[str]) -> str:
        language, file, content = block.groups()
        if language == "python":
            (shop / file).write_text(content, encoding="utf-8")
            return block[0]
        return f"```console\n{transcript(content, shop, database_url)}```"

    printed = BLOCK.sub(followed, text)

    if pytestconfig.getoption("--update-golden"):
        GUIDE.write_text(printed, encoding="utf-8")
    assert printed == text, "the guide prints something else; look, then: pytest --update-golden"


def transcript(block: str, folder: Path, url: str) -> str:
    """The commands with what they print on stdout now; what the guide leaves out (…) stays left out."""
    shown = ""
    for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE)[1:]:
        line, _, before = part.partition("\n")
        program, *arguments = shlex.split(line.removeprefix("$ "), comments=True)
        variables = {"COLUMNS": "110", "SHOP_DATABASE_URL": url, "PYTHONPATH": str(folder / "src")}
        done = subprocess.run(
            [*PROGRAMS[program], *arguments],
            cwd=folder,
            env=environment({**AUTHOR, **variables}),
            capture_output=True,
            text=True,
            timeout=120,
        )
        wanted = EXIT.search(line)
        assert done.returncode == (int(wanted[1]) if wanted else 0), f"{line}\n{done.stdout}\n{done.stderr}"
        shown += f"{line}\n" + ("…\n" if before.startswith("…") else done.stdout)
    return shown


AUTHOR = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "dana"), ("EMAIL", "dana@localhost"))
}


def test_every_section_is_run_or_leads_to_a_guide() -> None:
    sections = re.split(r"^## ", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [each for each in sections if "```" not in each and ".md)" not in each] == []
