"""The demo's stage without its story: a copy of the sample shop, migrated and filled, on the test's own database."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evolve.app.demo.road import Stage
from evolve.app.samples import copy_sample
from support.command_line import environment, evolve, module


class Forked(Stage):
    """The stage whose commands and programs are forked off one process that has imported evolve."""

    @property
    def _urls(self) -> dict[str, str]:
        return {"SHOP_DATABASE_URL": self.url, "EVOLVE_DATABASE_URL": self.url}

    def _run(self, words: list[str], *, live: bool) -> subprocess.CompletedProcess[str]:
        if words[0] == "evolve":
            return evolve(*words[1:], cwd=self.folder, env=self._urls, timeout=600)
        env = {**environment(), **self._urls}
        return module(*words, cwd=self.folder, env=env, path=(self.folder / "src",), timeout=600)


class Silent:
    def scene(self, title: str, text: str) -> None: ...
    def command(self, words: Sequence[str]) -> None: ...
    def output(self, lines: Sequence[str]) -> None: ...


@pytest.fixture
def make_stage(tmp_path: Path, database_url: str) -> Callable[..., Stage]:
    """Call it with the options of `shop.seed`."""

    def make(*seed: str) -> Stage:
        stage = Forked(Silent(), copy_sample("shop", tmp_path), database_url)
        stage.evolve("upgrade")
        stage.shop("shop.seed", *seed)
        return stage

    return make
