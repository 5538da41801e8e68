"""Commands that are interrupted, told to end, or whose reader goes away: their exit status, and what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.bad_input import CHANGE, Ground
from support.command_line import environment, start_evolve

from evolve.postgres import scratch

pytestmark = pytest.mark.server

AT_WORK = (
    "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)%'"
    " AND pid <> pg_backend_pid() AND state = 'active'"
)


@pytest.fixture(scope="module")
def ground(scratch_server: scratch.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    url = scratch_server.create_database()
    made = Ground.prepare(tmp_path_factory.mktemp("ground") / "project", url)
    yield made
    made.connection.close()
    scratch_server.drop_database(url)


@pytest.mark.parametrize(
    "command",
    [
        *("--help", "lint --help", "explain", "plan list", "plugins", "completion bash"),
        *("lint base:heads", "lint base:heads --format json", f"status {CHANGE}", "upgrade --sql"),
        *("upgrade --dry-run", "backfill status", "partition status users"),
        "plan set-not-null users.email --fill 'x'",
    ],
)
def test_reader_that_went_away(ground: Ground, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "evolve", *command.split()],
        cwd=ground.root,
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)

    assert done.returncode == 141, done.stderr
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def sleeper(make_project: Callable[..., AlembicProject], database_url: str) -> AlembicProject:
    """Its second revision holds a strong lock for 20 s."""
    project = make_project(database_url)
    project.add("one", 'op.execute("CREATE TABLE users (id int PRIMARY KEY)")')
    project.add("two", 'op.execute("ALTER TABLE users ADD x int")\nop.execute("SELECT pg_sleep(20)")')
    return project


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_upgrade_that_is_told_to_end_takes_its_statement_along(
    sleeper: AlembicProject, database_url: str, number: signal.Signals, status: int
) -> None:
    runner = start_evolve("upgrade", cwd=sleeper.root)
    with psycopg.connect(database_url, autocommit=True) as connection:
        while connection.execute(AT_WORK).fetchone() is None:
            assert runner.poll() is None, runner.communicate()
            time.sleep(0.02)

        runner.send_signal(number)
        out, said = runner.communicate(timeout=10)

        assert (runner.returncode, out) == (status, "")
        assert said.rstrip().endswith("interrupted")
        assert "Traceback" not in said
        assert connection.execute(AT_WORK).fetchone() is None
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("one",)]
        columns = connection.execute("SELECT * FROM users").description or []
        assert [column.name for column in columns] == ["id"]


def test_hangup_that_is_to_be_ignored_is_ignored(tmp_path: Path, database_url: str) -> None:
    project = AlembicProject(tmp_path / "project", database_url)
    project.add("one", 'op.execute("SELECT pg_sleep(1)")')
    # As nohup starts it.
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        runner = subprocess.Popen(
            [sys.executable, "-m", "evolve", "upgrade"],
            cwd=project.root,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    assert runner.stderr is not None
    runner.stderr.readline()

    runner.send_signal(signal.SIGHUP)

    out, said = runner.communicate(timeout=30)
    assert (runner.returncode, out) == (0, "applied 1 revision; the database is at one\n"), said
