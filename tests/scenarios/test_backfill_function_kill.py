"""A function that must meet each row once is killed again and again; effects outside happen at least once."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import psycopg
import pytest
from support.backfill import Cli, by_value, command_line, numbers

pytestmark = pytest.mark.server

MODULE = """
import os, psycopg
from evolve.backfills import backfill

@backfill(table="numbers", reads=["n"], writes=["n"], mode="{mode}", name="counted")
def counted(rows):
    for row in rows:
        row["n"] += 1
    return rows

@backfill(table="numbers", reads=["n"], writes=["n"], mode="outbox", name="told")
def told(rows):
    with psycopg.connect(os.environ["EVOLVE_DATABASE_URL"], autocommit=True) as connection:
        for row in rows:
            connection.execute("INSERT INTO told VALUES (%s, %s)", (row["id"], row["idempotency_key"]))
    return [{{"n": 1}} for row in rows]
"""
SIZE = ("--target-ms", "40", "--max-batch", "100")


def killed(cli: Cli, folder: Path, name: str, kills: int, *options: str) -> None:
    """Start it and kill it so often, then let it end."""
    chance = random.Random()
    unfinished = 0
    for _ in range(kills):
        process = cli.start("run", f"shop_rows:{name}", "-C", str(folder), *SIZE, *options)
        until = time.monotonic() + 30
        before = rows(cli.url)
        while rows(cli.url) == before and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        process.communicate()
        unfinished += process.returncode == -signal.SIGKILL
    assert unfinished == kills
    cli.run("resume", name, "-C", str(folder), *SIZE)


def rows(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('evolve.backfill_range')").fetchone() == (None,):
            return 0
        row = connection.execute(
            "SELECT coalesce(sum(changed), 0)::int FROM evolve.backfill_range"
        ).fetchone()
    return int(row[0]) if row else 0


@pytest.mark.parametrize(
    ("mode", "kills", "options"),
    [
        ("guarded", 4, ("--workers", "2")),
        ("locked", 2, ()),
        pytest.param("guarded", 40, ("--undo-journal", "on"), marks=pytest.mark.long),
    ],
    ids=["guarded", "locked", "guarded, long"],
)
def test_each_row_is_met_once(
    database_url: str, tmp_path: Path, mode: str, kills: int, options: tuple[str, ...]
) -> None:
    numbers(database_url, 12_000 * kills)
    (tmp_path / "shop_rows.py").write_text(MODULE.format(mode=mode))
    with command_line(database_url) as cli:
        killed(cli, tmp_path, "counted", kills, *options)
    assert by_value(database_url) == {1: 12_000 * kills}


def test_effects_happen_at_least_once_each_under_one_number(database_url: str, tmp_path: Path) -> None:
    numbers(database_url, 1_500)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE told (id bigint, number text)")
    (tmp_path / "shop_rows.py").write_text(MODULE.format(mode="guarded"))
    with command_line(database_url) as cli:
        killed(cli, tmp_path, "told", 2)
    assert by_value(database_url) == {1: 1_500}
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT count(DISTINCT id), count(DISTINCT number) FROM told").fetchone()
    assert found == (1_500, 1_500)


def test_a_worker_that_cannot_import_the_function_says_so(database_url: str, tmp_path: Path) -> None:
    numbers(database_url, 300)
    (tmp_path / "shop_rows.py").write_text(MODULE.format(mode="guarded"))
    with command_line(database_url) as cli:
        cli.start(
            "run",
            "shop_rows:counted",
            "-C",
            str(tmp_path),
            "--max-rows-per-second",
            "20",
            "--max-batch",
            "10",
        )
        until = time.monotonic() + 30
        while not rows(database_url):
            assert time.monotonic() < until
            time.sleep(0.02)
        told = cli.fail("work", "counted", expect=2)
    assert '"shop_rows' in told
    assert "cannot be imported here" in told
    assert "-C" in told
