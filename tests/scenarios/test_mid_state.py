"""Random walks through the phases of a change, forward, back and to sudden ends, while old and new code write."""

from __future__ import annotations

import pytest
from support.renaming import SCENE

from evolve.postgres import scratch
from evolve.testing.phase_harness.fuzz import fuzz

pytestmark = pytest.mark.server


def test_nothing_fails_and_nothing_is_lost_wherever_it_goes(scratch_server: scratch.Server) -> None:
    fuzz(SCENE, scratch_server, examples=2)
