"""Rows that cannot be written, on the command line: exit status, lists, and a worker killed while it looks for them."""

from __future__ import annotations

import json
import time

import psycopg
import pytest
from support.backfill import by_value, command_line, numbers

pytestmark = pytest.mark.server

NAME = "numbers.n"
BAD = (300, 303, 1500)
HELD = 4711  # the key of a lock
ALONE = ("--set", "n + 1 / (hits + 1)", "--max-batch", "100")


def poisoned(url: str) -> None:
    numbers(url, 1000)
    execute(url, "UPDATE numbers SET hits = -1 WHERE id IN (300, 303, 1500)")


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_it_ends_with_a_status_of_its_own_and_a_list(database_url: str) -> None:
    poisoned(database_url)
    with command_line(database_url) as cli:
        out = cli.run("run", NAME, *ALONE, expect=3)
        assert (
            "3 rows could not be written and were set aside:\n  (300) division by zero (SQLSTATE 22012)"
            in out
        )
        assert f"evolve backfill retry-rejects {NAME}" in out
        cli.run("run", NAME, *ALONE, expect=3)  # it is done, and still has them
        status = cli.status(NAME)
        assert (status["state"], status["rejects"], status["max_rejects"]) == ("done", 3, 100)
        assert "rejects   3 rows could not be written\n            (300) division" in cli.run("status", NAME)
        listed = json.loads(cli.run("rejects", NAME, "--limit", "2", "--format", "json"))
        assert (listed["count"], [each["key"] for each in listed["rejects"]]) == (3, [["300"], ["303"]])
        assert cli.run("rejects", NAME, "--limit", "2").endswith("and 1 more row\n")
        execute(database_url, "UPDATE numbers SET hits = 0 WHERE id <= 303")
        assert f'"{NAME}": 2 rows resolved, 1 left\n  (1500)' in cli.run("retry-rejects", NAME, expect=3)
        execute(database_url, "UPDATE numbers SET hits = 0")
        ended = json.loads(cli.run("retry-rejects", NAME, "--format", "json").splitlines()[-1])
        assert (ended["resolved"], ended["rejects"]) == (1, 0)
        assert "has set no row aside" in cli.run("rejects", NAME)
        assert "has set no row aside" in cli.run("retry-rejects", NAME)
    assert by_value(database_url) == {1: 1000}


def test_none_may_be_set_aside(database_url: str) -> None:
    poisoned(database_url)
    with command_line(database_url) as cli:
        told = cli.fail("run", NAME, *ALONE, "--max-rejects", "0", expect=1)
        assert "stopped at the row with key (300): division by zero" in told
        assert cli.status(NAME)["state"] == "failed"
        cli.run("resume", NAME, "--max-rejects", "3", expect=3)


def test_a_dry_run_names_them(database_url: str) -> None:
    poisoned(database_url)
    with command_line(database_url) as cli:
        shown = cli.run("run", NAME, *ALONE, "--dry-run")
        found = json.loads(cli.run("run", NAME, *ALONE, "--dry-run", "--format", "json"))
    assert "3 rows cannot be written and would be set aside:\n  (300) division by zero" in shown
    assert found["rejects"] == [["300"], ["303"], ["1500"]]


@pytest.mark.parametrize("undo", ["on", "off"])
def test_killed_while_it_looks_for_them(database_url: str, undo: str) -> None:
    numbers(database_url, 1000)
    execute(
        database_url,
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        # Only a transaction that tries parts holds a second id of a transaction: that of a savepoint that wrote.
        " IF (SELECT count(*) > 1 FROM pg_locks WHERE locktype = 'transactionid' AND pid = pg_backend_pid())"
        f" THEN PERFORM pg_advisory_xact_lock_shared({HELD}); END IF;"
        " RAISE 'not this one'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON numbers FOR EACH ROW WHEN (OLD.id IN (300, 303, 1500))"
        " EXECUTE FUNCTION public.refuse()",
    )
    with command_line(database_url) as cli, psycopg.connect(database_url, autocommit=True) as holder:
        for _ in range(2):
            holder.execute("SELECT pg_advisory_lock(%s)", (HELD,))
            process = cli.start("run", NAME, "--set", "n + 1", "--max-batch", "100", "--undo-journal", undo)
            in_a_savepoint(holder)
            process.kill()
            process.communicate()
            holder.execute("SELECT pg_advisory_unlock(%s)", (HELD,))
        cli.run("run", NAME, "--set", "n + 1", "--undo-journal", undo, expect=3)
    assert by_value(database_url) == {0: 3, 1: 997}


def in_a_savepoint(holder: psycopg.Connection[tuple[object, ...]]) -> None:
    """Wait until a worker has met a bad row in a transaction that tries parts: it is held there."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        waiting = holder.execute(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", (HELD,)
        )
        if waiting.fetchall():
            return
        time.sleep(0.02)
    raise AssertionError("no worker has met a bad row")
