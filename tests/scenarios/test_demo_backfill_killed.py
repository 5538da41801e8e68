"""The demo's own backfill, under the demo's own traffic, killed twenty times at random moments and resumed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.command_line import Running, start_evolve

from evolve.app.demo.road import CHANGE, Stage
from evolve.app.demo.traffic import Traffic

pytestmark = pytest.mark.server

KILLS = 20


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    return make_stage("--users", "40000", "--orders", "10000")


@pytest.fixture
def serving() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_killed_twenty_times_it_ends_right(stage: Stage, serving: ExitStack) -> None:
    def open_shop(version: str, share: str) -> Traffic:
        traffic = Traffic(version, stage.folder, stage.url, clients=4, rate=30, share=share)
        serving.callback(traffic.kill)
        return traffic

    v1 = open_shop("v1", "1/2")
    stage.evolve("plan", "rename-column", "users.name", "full_name", "--write")
    stage.evolve("upgrade")
    stage.evolve("advance", CHANGE)
    v2 = open_shop("v2", "2/2")

    chance = random.Random()
    begun = backfill(stage, "run")
    wait_for_rows(stage)
    killed = 0
    for number in range(KILLS):
        process = backfill(stage, "resume") if number else begun
        time.sleep(chance.uniform(0.05, 0.45))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed == KILLS, "the backfill ended before the last kill: this proves nothing"
    assert differing(stage) > 0
    stage.evolve("backfill", "resume", CHANGE)

    assert differing(stage) == 0
    assert stage.count("SELECT count(*) FROM evolve.backfill_run WHERE state = 'done'") == 1
    stage.evolve("advance", CHANGE)  # its gates agree
    for report in (v1.stop(), v2.stop()):
        assert (report.failed, report.lost, report.errors) == (0, 0, ())


def backfill(stage: Stage, verb: str) -> Running:
    """The demo's backfill, slow enough to be killed in the middle of it."""
    slowly = ("--max-rows-per-second", "2500", "--max-batch", "50")
    urls = {"SHOP_DATABASE_URL": stage.url, "EVOLVE_DATABASE_URL": stage.url}
    return start_evolve("backfill", verb, CHANGE, *slowly, cwd=stage.folder, env=urls)


def differing(stage: Stage) -> int:
    return stage.count("SELECT count(*) FROM users WHERE full_name IS DISTINCT FROM name")


def wait_for_rows(stage: Stage) -> None:
    until = time.monotonic() + 20
    while not stage.count("SELECT count(to_regclass('evolve.backfill_range'))") or not stage.count(
        "SELECT sum(changed)::bigint FROM evolve.backfill_range"
    ):
        assert time.monotonic() < until, "the backfill never began"
        time.sleep(0.05)
