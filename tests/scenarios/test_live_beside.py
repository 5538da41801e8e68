"""What goes beside the road while old and new code is at work: `undo`, brown-outs, tripwires, and what clients tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.renaming import CHANGE, SCENE

from evolve.postgres import scratch
from evolve.testing.phase_harness import Road
from evolve.testing.phase_harness.fuzz import fuzz

pytestmark = pytest.mark.server

OF_A_ROLE = replace(
    SCENE,
    schema=f"""{SCENE.schema};
        DO $$ BEGIN CREATE ROLE scene_client; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        GRANT SELECT, INSERT, UPDATE, DELETE ON users TO scene_client;
    """,
    role="scene_client",
    registered=True,
)
PHASES = ("expand", "backfill", "validate", "switch", "contract")


@pytest.fixture
def road(database_url: str, tmp_path: Path) -> Iterator[Road]:
    with Road(OF_A_ROLE, database_url, tmp_path, each=2) as road:
        yield road


def shut(road: Road) -> list[str]:
    """What `evolve advance` says of the gates that are shut."""
    ended = road.run("advance", CHANGE, "--old-code-gone")
    return re.findall(r"shut (.*)", ended.stdout)


def test_nobody_fails_but_who_uses_what_is_hidden(road: Road) -> None:
    road.to("switch")
    road.tripwire(0.3)
    road.check()
    assert road.run("tripwire", CHANGE).status == 0
    missed = road.brown_out(60)
    assert missed is not None
    assert (missed.status, "old was refused" in missed.stdout) == (1, True), missed
    denied = road.crowd.denied
    assert denied
    road.settle(1.0)
    road.check()
    assert road.crowd.denied == denied  # nobody is refused anything once it is given back
    found = shut(road)
    assert [name in " ".join(found) for name in ("deployed version", "missed", "written")] == [True] * 3, (
        found
    )
    road.to("contract")  # without old code, the probes are made once more, and find nobody
    road.settle(0.2)
    road.check()
    assert road.undo("switch")
    road.settle(0.3)
    road.check()
    assert road.crowd.old
    assert road.undo()
    road.check_rolled_back()
    road.settle(0.2)
    road.crowd.stop()
    road.check()
    road.check_waits(0.3)


@pytest.mark.parametrize(
    "phase",
    [phase if phase == "validate" else pytest.param(phase, marks=pytest.mark.long) for phase in PHASES],
)
def test_undo_from_each_phase(road: Road, phase: str) -> None:
    for _ in range(2):
        road.to(phase)
        road.settle(0.3)
        road.check()
        assert road.undo()
        road.check_rolled_back()
        road.settle(0.3)
        road.check()
    while road.forward() is not None:
        road.check()
    road.crowd.stop()
    road.check()
    road.check_waits(0.3)


@pytest.mark.long
def test_random_walks_with_clients_that_tell(scratch_server: scratch.Server) -> None:
    fuzz(OF_A_ROLE, scratch_server, examples=4, steps=20)
