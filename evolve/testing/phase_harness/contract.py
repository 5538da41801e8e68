"""What every recipe must keep to, as a class of tests that a recipe's own tests inherit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from evolve.postgres import scratch
from evolve.testing.phase_harness.killed import prove_killed
from evolve.testing.phase_harness.live import prove_live
from evolve.testing.phase_harness.scene import Scene


class SceneContract:
    """Attributes:
    scene: what is proven.
    slack: seconds that a client may wait beyond the lock timeout; more where the machine is busy.
    clients: of each version, while nothing is killed.
    """

    scene: ClassVar[Scene]
    slack: ClassVar[float] = 0.1
    clients: ClassVar[int] = 4

    @pytest.fixture(scope="class")
    @classmethod
    def scene_server(cls) -> Iterator[scratch.Server]:
        """A throw-away server; EVOLVE_SCRATCH chooses where it comes from."""
        with scratch.server() as server:
            yield server

    @pytest.fixture
    def scene_url(self, scene_server: scratch.Server) -> Iterator[str]:
        with scene_server.database() as url:
            yield url

    def test_live(
        self, scene_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
    ) -> None:
        """Nothing fails, nothing is lost, nobody waits longer than the lock timeout; there and back and to the end."""
        proof = prove_live(self.scene, scene_url, tmp_path, each=self.clients, slack=self.slack)
        record_property("proof", str(proof))

    def test_killed(
        self, scene_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
    ) -> None:
        """A command that dies, at whatever moment, is run again, and nothing is lost."""
        survived = prove_killed(self.scene, scene_url, tmp_path)
        record_property("deaths", len(survived.moments))
        if not survived.moments:
            raise AssertionError("no command was killed")

    def test_killed_and_rolled_back(
        self, scene_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
    ) -> None:
        """Whatever state one dies in, the change can be taken back to its start, and nothing is lost or left."""
        survived = prove_killed(self.scene, scene_url, tmp_path, roll_back=True)
        record_property("deaths", len(survived.moments))

    def test_fuzz(self, scene_server: scratch.Server) -> None:
        """EVOLVE_FUZZ says how many random walks there are; none without it."""
        examples = int(os.environ.get("EVOLVE_FUZZ", "0"))
        if not examples:
            pytest.skip("a walk takes ten seconds; EVOLVE_FUZZ says how many")
        from evolve.testing.phase_harness.fuzz import fuzz

        fuzz(self.scene, scene_server, examples=examples)
