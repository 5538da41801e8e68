"""Who writes a project's manifests and revisions does so alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evolve.plan.sole_writer import AnotherWriter, sole_writer

HOLDING = """
import sys, time
from pathlib import Path
from evolve.plan.sole_writer import sole_writer
with sole_writer(Path(sys.argv[1]), "evolve advance theirs", "eve@host"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    (tmp_path / "evolve").mkdir()
    return tmp_path


def test_a_second_one_is_told_who_is_at_work(scripts: Path) -> None:
    with (
        sole_writer(scripts, "evolve undo ours --write", "ada@host"),
        pytest.raises(AnotherWriter, match=r"evolve undo ours --write \(pid \d+, ada@host, since "),
        sole_writer(scripts, "evolve advance ours", "eve@host"),
    ):
        pytest.fail("two at once")


def test_nothing_is_left(scripts: Path) -> None:
    for _ in range(2):
        with sole_writer(scripts, "evolve advance ours", "ada@host"):
            pass
    assert list((scripts / "evolve").iterdir()) == []


def test_it_ends_with_the_process_however_that_ends(scripts: Path) -> None:
    holding = subprocess.Popen([sys.executable, "-c", HOLDING, scripts], stdout=subprocess.PIPE)
    assert holding.stdout is not None
    assert holding.stdout.readline() == b"held\n"
    with (
        pytest.raises(AnotherWriter, match="evolve advance theirs"),
        sole_writer(scripts, "mine", "ada@host"),
    ):
        pytest.fail("two at once")
    holding.send_signal(signal.SIGKILL)
    holding.communicate()
    with sole_writer(scripts, "mine", "ada@host"):
        pass
    assert list((scripts / "evolve").iterdir()) == []


def test_where_there_are_no_manifests_nobody_is_kept_out(tmp_path: Path) -> None:
    with sole_writer(tmp_path, "mine", "ada@host"):
        assert list(tmp_path.iterdir()) == []
