"""Servers and ways to them that die under a backfill whose expression must run once per row."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest
from support.backfill import Quiet, by_value, command_line, fill, numbers, spec, writers
from support.cutting_proxy import Side, cutting
from support.standby import programs_wanted, start_again

from evolve.app.backfill_work import Pace
from evolve.app.resume_backfill import resume_backfill
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.postgres.scratch import cluster, owner

pytestmark = pytest.mark.server

NAME = "numbers.n"
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}  # scratch servers do without


@pytest.mark.parametrize(("undo", "workers"), [("off", 1), ("on", 2)])
def test_a_connection_lost_in_commit_is_settled_by_the_cursor(
    database_url: str, undo: str, workers: int
) -> None:
    numbers(database_url, 6000)
    with cutting(database_url, every=7) as (url, proxy):
        outcome = fill(
            url,
            spec("numbers", "n", "n + 1"),
            pace=Pace(largest=100, workers=workers),
            undo_journal_mode=JournalMode(undo),
        )
    assert (outcome.state, outcome.rows) == (State.DONE, 6000)
    assert min(proxy.cuts[side] for side in Side) >= 3
    assert by_value(database_url) == {1: 6000}


def test_a_clock_that_is_wrong_by_an_hour_decides_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases are of the server's time: a worker whose clock is ahead takes nothing over."""
    numbers(database_url, 2000)
    seen: list[str] = []

    def meddle(batches: int) -> None:
        if batches != 2:
            return
        for skew in (-3600, 3600):
            with monkeypatch.context() as patch:
                now = time.time
                patch.setattr(time, "time", lambda now=now, skew=skew: now() + skew)
                quiet = Quiet()
                with pytest.raises(Exception, match="already worked on") as refused:
                    resume_backfill(database_url, NAME, pace=Pace(lease_seconds=3), stop=quiet, watch=quiet)
                seen.append(str(refused.value))

    fill(database_url, spec("numbers", "n", "n + 1"), Quiet(between=meddle))
    assert len(seen) == 2
    assert by_value(database_url) == {1: 2000}


@pytest.mark.parametrize("times", [2, pytest.param(8, marks=pytest.mark.long)])
def test_a_server_that_is_killed_and_comes_back_is_waited_for(times: int) -> None:
    claim = owner.claim("local")
    server = cluster.start(programs_wanted(), claim.folder, DURABLE)
    try:
        numbers(server.url, 30_000)
        with command_line(server.url) as cli:
            process = cli.start(
                "run", NAME, "--set", "n + 1", "--workers", "2", "--max-rows-per-second", "3000"
            )
            _until_more(server.url, 0)
            cli.run("set", NAME, "rows=2900", "wal=off")
            for _ in range(times):
                before = _written(server.url)
                _until_more(server.url, before)
                _kill(claim.folder)
                server.stop()
                time.sleep(0.5)
                server = start_again(claim.folder, server.url, DURABLE)
            _until_more(server.url, _written(server.url))
            settings = cli.status(NAME)["settings"]
            cli.run("set", NAME, "rows=off")
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
        assert settings == {"rows": 2900, "wal": "off"}
        assert "is done: 30,000 rows" in out
        assert by_value(server.url) == {1: 30_000}
    finally:
        server.stop()
        claim.release()


def _kill(folder: Path) -> None:
    """The postmaster, as the kernel does when memory runs out; its children end themselves when they notice."""
    pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while _children(folder) and time.monotonic() < end:
        time.sleep(0.05)


def _children(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink() == folder / "data":
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _written(url: str) -> int:
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            if connection.execute("SELECT to_regclass('evolve.backfill_range')").fetchone() == (None,):
                return 0
            row = connection.execute("SELECT sum(changed)::int FROM evolve.backfill_range").fetchone()
    except psycopg.OperationalError:
        return -1
    return int(row[0] or 0) if row else 0


def _until_more(url: str, rows: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while _written(url) <= rows:
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def test_eight_writers_lose_no_update_and_no_row_is_missed(database_url: str) -> None:
    """Keys move as well: what a writer puts behind the cursor it has given the new value."""
    numbers(database_url, 8000)
    with writers(database_url, 8) as errors:
        fill(
            database_url,
            spec("numbers", "n", "n + 1", where="n = 0"),
            pace=Pace(largest=200, workers=2),
            undo_journal_mode=JournalMode.ON,
        )
        hits = _hits(database_url)
    assert errors == []
    assert set(by_value(database_url)) == {1}
    assert hits > 0


def _hits(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT sum(hits)::int FROM numbers").fetchone()
    return int(row[0]) if row else 0
