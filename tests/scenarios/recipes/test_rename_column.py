"""A column gets another name while code reads and writes it under both."""

from __future__ import annotations

import pytest
from support.renaming import SCENE

from evolve.testing.phase_harness import SceneContract

pytestmark = pytest.mark.server


class TestRenameColumn(SceneContract):
    scene = SCENE
