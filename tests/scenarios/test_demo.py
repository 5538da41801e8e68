"""`evolve demo` keeps its promises, says so, and cleans up or leaves things behind as it was told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from support.command_line import evolve

from evolve.app.demo.road import Ending
from evolve.app.demo.traffic import Report

pytestmark = pytest.mark.server


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that a server of another user may enter, which `tmp_path` is not."""
    made = Path(tempfile.mkdtemp(prefix="demo-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    provider = os.environ.get("EVOLVE_SCRATCH", "")
    chosen = {"EVOLVE_SCRATCH": provider} if provider else {}
    env = {**chosen, "TMPDIR": str(folder)}
    return evolve("demo", "--size", "small", "--format", "json", *options, cwd=folder, env=env, timeout=280)


def every_promise_is_kept(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    ending = json.loads(done.stdout)
    assert ending["schema"] == 1
    assert [client["version"] for client in ending["clients"]] == ["v1", "v2"]
    assert all(client["transactions"] > 50 for client in ending["clients"])
    assert [client["failed"] for client in ending["clients"]] == [0, 0]
    assert (ending["lost"], ending["rows_differing"], ending["orders_differing"]) == (0, 0, 0)
    assert ending["broken"] == []
    for scene in ("A pull request", "Backfill", "Partition", "Contract"):
        assert scene in done.stderr


@pytest.mark.long
def test_every_promise_is_kept_and_nothing_is_left(folder: Path) -> None:
    every_promise_is_kept(demo(folder))
    assert not list(folder.glob("evolve-demo-*"))


def test_every_promise_is_kept_and_server_and_project_where_they_are_to_be(folder: Path) -> None:
    done = demo(folder, "--keep")
    kept = json.loads(done.stdout)["kept"]
    try:
        every_promise_is_kept(done)
        with psycopg.connect(kept["url"]) as connection:
            assert connection.execute("SELECT count(*) > 9000 FROM orders").fetchone() == (True,)
        assert Path(kept["folder"], "migrations", "evolve").is_dir()
    finally:
        subprocess.run(["sh", "-c", kept["remove"]], check=True, capture_output=True)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(kept["url"], connect_timeout=3)


def report(version: str, *, failed: int = 0, lost: int = 0) -> Report:
    return Report(version, 100, failed, 0, 10.0, 5.0, 50, lost, ())


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending((report("v1"), report("v2")), 0, 0, 0, (), 1.0), []),
        (
            Ending((report("v1", failed=2), report("v2", failed=1)), 0, 0, 0, (), 1.0),
            ["3 transactions failed"],
        ),
        (Ending((report("v1"),), 1, 0, 0, (), 1.0), ["1 writes were lost"]),
        (Ending((report("v1"),), 0, 4, 0, (), 1.0), ["4 rows differ between the old column and the new"]),
        (Ending((report("v1"),), 0, 0, 5, (), 1.0), ["5 orders differ between the table and its partitions"]),
    ],
)
def test_a_broken_promise_is_named(ending: Ending, words: Sequence[str]) -> None:
    assert list(ending.broken) == words
