"""The sample project `events`: an Alembic project in pyproject.toml, its migrations, its seed, its settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.command_line import module
from support.servers import MakeDatabase, MakeTemplate

from evolve import config

EVENTS = Path(__file__).parents[2] / "sample_projects" / "events"
ROWS = 5000


def environment(url: str) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "PYTHONPATH": str(EVENTS / "src"), "EVENTS_DATABASE_URL": url}


def run(url: str, *module_and_arguments: str) -> str:
    done = module(*module_and_arguments, cwd=EVENTS, env=environment(url), path=(EVENTS / "src",))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fill(url: str) -> None:
    run(url, "alembic", "upgrade", "head")
    run(url, "events.seed", "--events", str(ROWS))


@pytest.fixture
def events(make_database: MakeDatabase, make_template: MakeTemplate) -> str:
    """The URL of a database with events of a year."""
    return make_database(make_template("events", fill))


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def relations(url: str) -> list[tuple[Any, ...]]:
    return query(
        url,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') "
        "AND relname NOT LIKE 'alembic%' ORDER BY relname",
    )


@pytest.mark.server
def test_the_migrations_make_what_the_model_says(database_url: str) -> None:
    run(database_url, "alembic", "upgrade", "head")
    assert "No new upgrade operations" in run(database_url, "alembic", "check")


@pytest.mark.server
def test_the_migrations_go_down_to_nothing_and_up_again(database_url: str) -> None:
    run(database_url, "alembic", "upgrade", "head")
    there = relations(database_url)
    run(database_url, "alembic", "downgrade", "base")
    gone = relations(database_url)
    run(database_url, "alembic", "upgrade", "head")
    assert (gone, relations(database_url)) == ([], there)


@pytest.mark.server
def test_evolve_upgrades_it_to_the_database_that_its_settings_name(database_url: str) -> None:
    run(database_url, "evolve", "upgrade")
    assert query(database_url, "SELECT version_num FROM alembic_version") == [("0002",)]


@pytest.mark.server
def test_the_seed_spreads_its_rows_over_the_last_year(events: str) -> None:
    [(rows, days, newest)] = query(
        events,
        "SELECT count(*), extract(day FROM max(occurred_at) - min(occurred_at)), "
        "now() - max(occurred_at) < interval '1 hour' FROM events",
    )
    assert (rows, days, newest) == (ROWS, 364, True)


@pytest.mark.server
def test_the_next_id_after_the_seed_is_a_new_one(events: str) -> None:
    assert query(events, "INSERT INTO events (device_id, kind) VALUES (1, 'door') RETURNING id") == [
        (ROWS + 1,)
    ]


@pytest.mark.server
def test_the_seed_keeps_the_indexes(events: str, database_url: str) -> None:
    run(database_url, "alembic", "upgrade", "head")
    assert relations(events) == relations(database_url)


@pytest.mark.server
def test_the_commands_of_the_readme_run(database_url: str) -> None:
    page = (EVENTS / "README.md").read_text()
    _, commands, *_ = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        ["sh", "-ec", commands],
        cwd=EVENTS,
        env=environment(database_url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_evolve_finds_nothing_in_the_history() -> None:
    no_server = "postgresql://nobody@127.0.0.1:1/nothing"
    assert run(no_server, "evolve", "lint", "base:heads", "--fail-on", "info").startswith(
        "nothing found in 2 revisions"
    )


def test_the_settings_say_how_the_table_is_to_be_partitioned() -> None:
    table = config.load(EVENTS).partition["events"]
    assert (table.method, dict(table.options)) == (
        "range",
        {"key": "occurred_at", "interval": "1 month", "premake": "3 months", "timezone": "UTC"},
    )
