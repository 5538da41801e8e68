"""A backfill whose expression must run once per row is killed, cut off and frozen; each row ends up with exactly 1."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from support.backfill import SLOW, Cli, by_value, command_line, numbers, writers
from support.command_line import Running

pytestmark = pytest.mark.server

NAME = "numbers.n"
SIZE = ("--target-ms", "60", "--max-batch", "200", "--duty", "1")


@contextmanager
def begun(cli: Cli) -> Iterator[None]:
    begin(cli, "--undo-journal", "off")
    yield


def resumed(cli: Cli, *options: str) -> Running:
    """A worker that has committed a batch."""
    before = cli_rows(cli)
    process = cli.start("resume", NAME, *SIZE, *options)
    wait_for(cli, lambda: cli_rows(cli) > before)
    return process


def begin(cli: Cli, *options: str) -> None:
    """Start the run, slow its commits down, and pause it at its first key.

    Before the writers: what they insert must lie behind the last key of the run.
    """
    process = cli.start("run", NAME, "--set", "n + 1", "--max-batch", "50", "--duty", "0.01", *options)
    wait_for(cli, lambda: cli_rows(cli) > 0)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    with psycopg.connect(cli.url, autocommit=True) as connection:
        connection.execute(SLOW)


def cli_rows(cli: Cli) -> int:
    with psycopg.connect(cli.url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('evolve.backfill_range')").fetchone() == (None,):
            return 0
        row = connection.execute(
            "SELECT coalesce(sum(changed), 0)::int FROM evolve.backfill_range"
        ).fetchone()
    return int(row[0]) if row else 0


def wait_for(cli: Cli, condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("undo_journal", "kills", "rows"),
    [
        ("off", 8, 30_000),
        ("on", 5, 15_000),
        pytest.param("off", 100, 400_000, marks=pytest.mark.long),
    ],
)
def test_killed_at_random_moments(database_url: str, undo_journal: str, kills: int, rows: int) -> None:
    numbers(database_url, rows)
    chance = random.Random()
    with command_line(database_url) as cli:
        begin(cli, "--undo-journal", undo_journal)
        with writers(database_url) as errors:
            unfinished = 0
            for _ in range(kills):
                process = resumed(cli)
                time.sleep(chance.uniform(0, 0.3))
                process.kill()
                process.communicate()
                unfinished += process.returncode == -signal.SIGKILL
            cli.run("resume", NAME, *SIZE)
    assert errors == []
    assert unfinished == kills
    assert set(by_value(database_url)) == {1}


def test_its_sessions_are_terminated_again_and_again(database_url: str) -> None:
    numbers(database_url, 20_000)
    with command_line(database_url) as cli, begun(cli), writers(database_url) as errors:
        process = resumed(cli)
        terminated = 0
        with psycopg.connect(database_url, autocommit=True) as connection:
            while process.poll() is None:
                terminated += connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
                    " AND query ILIKE ANY (ARRAY['UPDATE%%', 'COMMIT%%', 'SELECT set_config%%'])",
                    (f"evolve backfill {NAME}",),
                ).rowcount
                time.sleep(0.3)
        out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert errors == []
    assert terminated >= 3
    assert set(by_value(database_url)) == {1}


def test_frozen_past_its_lease_it_is_fenced_off(database_url: str) -> None:
    numbers(database_url, 20_000)
    with command_line(database_url) as cli, begun(cli), writers(database_url) as errors:
        frozen = resumed(cli, "--lease", "1")
        frozen.send_signal(signal.SIGSTOP)
        second = cli.start("resume", NAME, "--lease", "1", *SIZE)
        stood_still = cli_rows(cli)
        wait_for(cli, lambda: cli_rows(cli) > stood_still)
        frozen.send_signal(signal.SIGCONT)
        _, told = frozen.communicate(timeout=30)
        out, err = second.communicate(timeout=60)
    assert (frozen.returncode, second.returncode) == (1, 0), told + out + err
    assert "another worker took over" in told
    assert errors == []
    assert set(by_value(database_url)) == {1}


def test_a_second_worker_is_refused_while_the_first_is_alive(database_url: str) -> None:
    numbers(database_url, 6_000)
    with command_line(database_url) as cli:
        first = cli.start("run", NAME, "--set", "n + 1", "--max-rows-per-second", "1000", "--max-batch", "50")
        wait_for(cli, lambda: cli_rows(cli) > 0)
        told = cli.fail("run", NAME, "--set", "n + 1", expect=1)
        cli.run("set", NAME, "rows=off")
        first.communicate(timeout=60)
    assert f"pid {first.pid}" in told
    assert set(by_value(database_url)) == {1}


def test_undo_is_killed_and_goes_on(database_url: str) -> None:
    numbers(database_url, 30_000)
    with command_line(database_url) as cli:
        cli.run("run", NAME, "--set", "n + id::int", "--max-batch", "200")
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE numbers SET n = -1 WHERE id IN (3, 3000)")
            connection.execute(SLOW)
        killed = 0
        for _ in range(5):
            process = cli.start("undo", NAME, *SIZE)
            time.sleep(random.uniform(0.3, 0.7))
            process.kill()
            process.communicate()
            killed += process.returncode == -signal.SIGKILL
        out = cli.run("undo", NAME, *SIZE, expect=1)
    assert killed == 5
    assert "(3) changed since" in out
    assert by_value(database_url) == {0: 29_998, -1: 2}
