"""A backfill steered from other terminals while it runs."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable

import psycopg
import pytest
from support.backfill import Cli, by_value, command_line, numbers

pytestmark = pytest.mark.server

NAME = "numbers.n"
# At this pace it would take hours: it ends because it is told to go faster.
SLOWLY = ("run", NAME, "--set", "n + 1", "--max-batch", "50", "--max-rows-per-second", "20")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def written(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('evolve.backfill_range')").fetchone() == (None,):
            return 0
        row = connection.execute("SELECT sum(changed)::int FROM evolve.backfill_range").fetchone()
    return int(row[0] or 0) if row else 0


def workers(cli: Cli) -> list[object]:
    found = cli.status(NAME)["workers"]
    assert isinstance(found, list)
    return found


def causes(cli: Cli) -> dict[str, str]:
    explained = json.loads(cli.run("explain", NAME, "--format", "json"))
    return {cause["kind"]: cause["text"] for cause in explained["causes"]}


def test_it_is_held_explained_let_go_and_sped_up(database_url: str) -> None:
    numbers(database_url, 20_000)
    with command_line(database_url) as cli:
        process = cli.start(*SLOWLY, "--workers", "2")
        until(lambda: written(database_url) > 0)
        # It was told no pace, and goes by that of the run.
        joined = cli.start("work", NAME)
        until(lambda: len(workers(cli)) == 2)
        held = cli.run("throttle", NAME, "--for", "10min", "--reason", "the night job runs")
        assert "is held for 10min, from the next commit on" in held
        assert "the night job runs" in causes(cli)["throttle"]
        assert "  waiting: held by " in cli.run("status")
        shown = cli.status(NAME)["throttle"]
        assert isinstance(shown, dict)
        assert (shown["reason"], 0 < shown["seconds_left"] < 600) == ("the night job runs", True)
        assert "is not throttled any more" in cli.run("throttle", NAME, "--off")
        said = cli.run("set", NAME, "rows=off", "batch=5k", "target=50ms")
        out, err = process.communicate(timeout=60)
        joined.communicate(timeout=60)
        log = cli.run("log", NAME)
    assert "goes by target=50ms rows=off batch=5000 (set), from the next commit on" in said
    assert "before: rows=20/s batch=50 (command line)" in said
    assert (process.returncode, joined.returncode) == (0, 0), out + err
    assert by_value(database_url) == {1: 20_000}
    for event in ("throttle by", "throttle off by", "set by"):
        assert event in log


def test_a_signal_ends_a_hold_and_pauses_and_undo_is_interrupted_alike(database_url: str) -> None:
    numbers(database_url, 3000)
    with command_line(database_url) as cli:
        process = cli.start(*SLOWLY)
        until(lambda: written(database_url) > 0)
        cli.run("throttle", NAME)
        until(lambda: "throttle" in causes(cli))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert "paused by SIGTERM" in out, out + err
        # An option that says the default is a word as well.
        resumed = cli.start("resume", NAME, "--duty", "1")
        until(lambda: cli.status(NAME)["state"] == "running")
        assert cli.status(NAME)["pace"] == {"duty": 1, "rows": 20, "batch": 50}
        resumed.send_signal(signal.SIGINT)
        out, err = resumed.communicate(timeout=30)
        assert "paused by SIGINT" in out, out + err
        undone = cli.start("undo", NAME)
        until(lambda: cli.status(NAME)["state"] == "undoing")
        undone.send_signal(signal.SIGTERM)
        out, err = undone.communicate(timeout=30)
        assert (undone.returncode, cli.status(NAME)["state"]) == (1, "undo interrupted"), out + err
        cli.run("throttle", NAME, "--off")
        cli.run("set", NAME, "rows=off")
        cli.run("undo", NAME)
    assert by_value(database_url) == {0: 3000}


def test_a_name_that_is_not_there_is_told_the_nearest(database_url: str) -> None:
    numbers(database_url, 10)
    with command_line(database_url) as cli:
        cli.run("run", NAME, "--set", "1")
        assert f'did you mean "{NAME}"?' in cli.fail("set", "number.n", "duty=0.5", expect=2)
