"""What of the runner needs no server: that a new process can import it, and how long it waits between attempts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from evolve.app.upgrade import Patience


@pytest.mark.parametrize(("attempt", "whole"), [(1, 0.5), (2, 1.0), (4, 4.0), (7, 20.0), (5_000, 20.0)])
def test_a_delay_doubles_up_to_the_longest_less_up_to_half_of_it(attempt: int, whole: float) -> None:
    patience = Patience(first_delay=0.5, longest_delay=20.0)
    assert patience.delay(attempt, 0.0) == whole
    assert whole / 2 <= patience.delay(attempt, 0.999) < whole


def test_a_process_that_has_imported_nothing_can_import_it() -> None:
    """Alembic, whom it imports, imports evolve's operations in turn."""
    subprocess.run([sys.executable, "-c", "import evolve.app.upgrade"], check=True, timeout=60)
