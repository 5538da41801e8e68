"""The worked changes of the sample shop: in every phase the code that is deployed in it works, and sees the same."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support.command_line import environment, evolve, python
from support.servers import MakeDatabase

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "sample_projects" / "shop"
GUIDE = ROOT / "evolve" / "docs" / "guides" / "worked-changes.md"
CHANGES = sorted(path.name for path in (SHOP / "changes").iterdir() if path.name[0] in "123456789")

pytestmark = pytest.mark.server


class Shop:
    """A copy of the shop, with the catalogue, on a database of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.root = folder / "shop"
        shutil.copytree(SHOP, self.root, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(self.root / "changes" / "0006_create_catalogue.py", self.root / "migrations" / "versions")
        self.url = {"SHOP_DATABASE_URL": url}
        self._ok(evolve("upgrade", cwd=self.root, env=self.url))

    def enter(self, phase: Path) -> None:
        """Do what the operator does to enter a phase."""
        if (commands := phase / "commands.sh").is_file():
            for line in commands.read_text().splitlines():
                program, *words = shlex.split(line)
                assert program == "evolve"
                self._ok(evolve(*words, cwd=self.root, env=self.url))

    def writes(self, release: Path) -> str:
        """Let a release do its work; the row it made."""
        return self._run(release)

    def sees(self, release: Path, row: str) -> str:
        return self._run(release, row)

    def _run(self, release: Path, *arguments: str) -> str:
        source = release.read_text()
        path = (self.root / "src",)
        return self._ok(
            python(source, *arguments, cwd=self.root, env={**environment(), **self.url}, path=path)
        )

    def _ok(self, done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@pytest.mark.parametrize("change", CHANGES)
def test_the_code_of_every_phase_works_in_it(
    change: str, tmp_path: Path, make_database: MakeDatabase
) -> None:
    shop = Shop(tmp_path, make_database())
    folder = shop.root / "changes" / change
    old, new = sorted(folder.glob("*/app.py"))
    filled = False
    for phase in sorted(folder.iterdir()):
        shop.enter(phase)
        name = phase.name.partition("_")[2]
        releases = {"before": [old], "contract": [new], "purge": [new]}.get(name, [old, new])
        filled = filled or name in ("backfill", "switch")
        rows = [shop.writes(release) for release in releases]
        if filled:
            for row in rows:
                assert len({shop.sees(release, row) for release in releases}) == 1, f"{name}, row {row}"


def test_the_guide_speaks_of_every_change() -> None:
    assert re.findall(r"changes/(\d_\w+)", GUIDE.read_text()) == CHANGES
