"""The demo's stage without its story: a copy of the sample shop, migrated and filled, on the test's own database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evolve.app.demo.road import Stage
from evolve.app.samples import copy_sample


class Silent:
    def scene(self, title: str, text: str) -> None: ...
    def command(self, words: Sequence[str]) -> None: ...
    def output(self, lines: Sequence[str]) -> None: ...


@pytest.fixture
def make_stage(tmp_path: Path, database_url: str) -> Callable[..., Stage]:
    """Call it with the options of `shop.seed`."""

    def make(*seed: str) -> Stage:
        stage = Stage(Silent(), copy_sample("shop", tmp_path), database_url)
        stage.evolve("upgrade")
        stage.shop("shop.seed", *seed)
        return stage

    return make
