"""A backfill against one bare UPDATE of all rows, in the same run on the same server."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import psycopg
import pytest
from support.backfill import Quiet, fill, spec
from support.benchmarks import FOLDER

from evolve.app.backfill_work import Pace
from evolve.backfill.undo import JournalMode

pytestmark = pytest.mark.server

ROWS = 500_000
ROUNDS = 3

# About 140 bytes a row, with one secondary index in random order: what plain batches are bad at.
TABLE = """
    DROP SCHEMA IF EXISTS evolve CASCADE;
    DROP TABLE IF EXISTS accounts;
    CREATE TABLE accounts (id bigint PRIMARY KEY, account_id bigint NOT NULL, amount numeric NOT NULL,
        created_at timestamptz NOT NULL, email text NOT NULL, email_norm text, status text NOT NULL,
        note text NOT NULL);
    INSERT INTO accounts SELECT g, hashint8(g), g %% 1000, now(), 'User' || g || '@Example.org', NULL, 'open',
        repeat('x', 40) FROM generate_series(1, %s) g;
    CREATE INDEX ON accounts (account_id);
"""


def test_throughput_against_one_update(database_url: str) -> None:
    def bare() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE accounts SET email_norm = lower(email)")

    def backfill(undo: JournalMode, *, plain_sql: bool = False) -> Callable[[], None]:
        def run() -> None:
            done = fill(
                database_url,
                spec("accounts", "email_norm", "lower(email)"),
                Quiet(),
                pace=Pace(),
                verify=False,
                undo_journal_mode=undo,
                plain_sql=plain_sql,
            )
            assert done.rows == ROWS

        return run

    variants = {
        "one UPDATE": bare,
        "backfill": backfill(JournalMode.OFF),
        "backfill, undo journal": backfill(JournalMode.ON),
        "backfill, plain SQL": backfill(JournalMode.OFF, plain_sql=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, action in variants.items():  # interleaved, so that a slow minute slows them all
            prepare(database_url)
            began = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    throughput = {name: medians["one UPDATE"] / value for name, value in medians.items()}
    FOLDER.mkdir(exist_ok=True)
    result = {
        "schema": 1,
        "benchmark": "backfill_throughput",
        "rows": ROWS,
        "rounds": ROUNDS,
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "throughput_against_one_update": {name: round(value, 3) for name, value in throughput.items()},
    }
    (FOLDER / "backfill_throughput.json").write_text(json.dumps(result, indent=2) + "\n")
    for name, ratio in throughput.items():
        line = f"{name}: {medians[name]:.2f} s, {ROWS / medians[name]:,.0f} rows/s, {ratio:.2f} x"
        print(f"\n{line}", end="")  # noqa: T201  # it shows what it measured
    assert throughput["backfill"] > 0.4


def prepare(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in TABLE.split(";"):
            if statement.strip():
                connection.execute((statement % ROWS if "%s" in statement else statement).encode())
        connection.execute("VACUUM ANALYZE accounts")
        connection.execute("CHECKPOINT")
