"""`evolve partition archive` and `restore` as they are typed, killed at every moment, and before `retain` drops."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import evolve, start_evolve
from support.killed import killed_everywhere
from support.orders import execute, scalar

from evolve.app.archive_partition import archived
from evolve.postgres.connect import connect
from evolve.sql.names import QualifiedName
from evolve.testing.phase_harness.commands import Commands

pytestmark = pytest.mark.server

SETTINGS = """
[partition.orders]
method = "range"
key = "at"
interval = "1 year"
retention = { keep = "1 year", grace = "1 day", archive = "parquet" }
"""


@pytest.fixture
def url(database_url: str) -> str:
    execute(
        database_url,
        """
        CREATE TABLE orders (id bigint, at timestamptz NOT NULL, note text) PARTITION BY RANGE (at);
        CREATE TABLE orders_2020 PARTITION OF orders
            FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2021-01-01 00:00+00');
        INSERT INTO orders SELECT g, '2020-03-01', md5(g::text) FROM generate_series(1, 1000) AS g;
        """,
    )
    return database_url


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    with Commands(tmp_path) as commands:
        yield commands


def is_archived(url: str) -> bool:
    with connect(url, autocommit=True) as connection:
        return archived(connection, QualifiedName("orders_2020"))


def test_there_and_back(url: str, tmp_path: Path) -> None:
    env = {"EVOLVE_DATABASE_URL": url}
    done = evolve("partition", "archive", "orders", "orders_2020", "--to", "attic", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "orders_2020: 1,000 rows" in done.stdout
    done = evolve(
        *(
            "partition",
            "restore",
            "orders",
            "orders_2020",
            "--from",
            "attic",
            "--as",
            "old",
            "--format",
            "json",
        ),
        cwd=tmp_path,
        env=env,
    )
    assert json.loads(done.stdout) == {"schema": 1, "table": "old", "rows": 1000, "attached": False}
    done = evolve("partition", "restore", "orders", "orders_2020", cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--as NAME" in done.stderr


def test_retain_drops_only_what_is_archived(url: str, tmp_path: Path) -> None:
    (tmp_path / "evolve.toml").write_text(SETTINGS)
    execute(
        url,
        "ALTER TABLE orders DETACH PARTITION orders_2020; COMMENT ON TABLE orders_2020 IS "
        "'made by evolve: detached from orders at 2022-01-01T00:00:00+00:00 "
        "FOR VALUES FROM (''2020-01-01 00:00:00+00'') TO (''2021-01-01 00:00:00+00'')'",
    )
    env = {"EVOLVE_DATABASE_URL": url}
    there = "SELECT to_regclass('orders_2020') IS NOT NULL"
    evolve("partition", "retain", "orders", cwd=tmp_path, env=env)
    assert scalar(url, there) is True
    done = evolve("partition", "archive", "orders", "--to", "attic", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    done = evolve("partition", "retain", "orders", cwd=tmp_path, env=env)
    assert scalar(url, there) is False, done.stdout + done.stderr
    done = evolve("partition", "restore", "orders", "orders_2020", "--attach", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert scalar(url, "SELECT count(*) FROM orders") == 1000


@pytest.mark.long
def test_killed_at_every_moment_it_is_whole_or_not_there(
    url: str, tmp_path: Path, commands: Commands
) -> None:
    words = ("partition", "archive", "orders", "orders_2020", "--to", "attic", "--database-url", url)
    for ended in killed_everywhere(commands, *words):
        _whole_or_none(tmp_path / "attic")
        assert scalar(url, "SELECT count(*) FROM orders") == 1000, ended.moment
    assert is_archived(url)


@pytest.mark.long
def test_a_restore_that_is_killed_leaves_all_or_nothing(url: str, tmp_path: Path, commands: Commands) -> None:
    env = {"EVOLVE_DATABASE_URL": url}
    evolve("partition", "archive", "orders", "orders_2020", "--to", "attic", cwd=tmp_path, env=env)
    execute(url, "DROP TABLE orders_2020")
    words = ("partition", "restore", "orders", "orders_2020", "--attach", "--database-url", url)
    for ended in killed_everywhere(commands, *words):
        assert scalar(url, "SELECT count(*) FROM orders") in (0, 1000), ended.moment
        execute(url, "DROP TABLE IF EXISTS orders_2020")


@pytest.mark.long
def test_killed_at_random_while_rows_flow(url: str, tmp_path: Path) -> None:
    execute(
        url, "INSERT INTO orders SELECT g, '2020-03-01', md5(g::text) FROM generate_series(1, 500000) AS g"
    )
    env = {"EVOLVE_DATABASE_URL": url}
    words = ("partition", "archive", "orders", "orders_2020", "--to", "attic")
    for _ in range(12):
        running = start_evolve(*words, cwd=tmp_path, env=env)
        time.sleep(random.uniform(0.3, 3))
        running.send_signal(signal.SIGKILL)
        running.communicate()
        _whole_or_none(tmp_path / "attic")
    done = evolve(*words, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert is_archived(url)
    assert list(tmp_path.rglob(".evolve-*")) == []


def _whole_or_none(attic: Path) -> None:
    """Under its own name there is both the manifest and what it says of the rows, or no folder."""
    for folder in attic.glob("*/[!.]*"):
        told = json.loads((folder / "manifest.json").read_text())
        assert (folder / told["file"]).stat().st_size == told["bytes"]
