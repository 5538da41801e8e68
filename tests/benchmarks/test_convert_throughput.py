"""Conversions under writers against one bare INSERT … SELECT into the same partitions with the same indexes."""

from __future__ import annotations

import json
import statistics
import time

import psycopg
import pytest
from support.benchmarks import FOLDER
from support.conversion import acted, converted, planned
from support.orders import COLUMNS, make_orders, writers
from support.servers import MakeDatabase, MakeTemplate

pytestmark = pytest.mark.server

ROWS = 200_000
ROUNDS = 3


def bare(url: str) -> float:
    """Seconds for the copy that nothing disturbs: no batches, no cursor, no trigger, no writers waiting for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE bare (LIKE orders INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED,"
            " PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at)"
        )
        for month in range(5, 16):
            connection.execute(
                f"CREATE TABLE bare_{month} PARTITION OF bare FOR VALUES"  # type: ignore[arg-type]
                f" FROM ('{2026 + (month - 1) // 12}-{(month - 1) % 12 + 1}-01 00:00+00')"
                f" TO ('{2026 + month // 12}-{month % 12 + 1}-01 00:00+00')"
            )
            connection.execute(f"CREATE UNIQUE INDEX ON bare_{month} (ext_ref)")  # type: ignore[arg-type]
        connection.execute("CREATE INDEX ON bare (tenant_id, created_at)")
        began = time.perf_counter()
        connection.execute(f"INSERT INTO bare ({COLUMNS}) SELECT {COLUMNS} FROM orders")  # type: ignore[arg-type]
        return time.perf_counter() - began


def seconds_of(url: str, names: tuple[str, ...]) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT sum(extract(epoch FROM done_at - started_at))::float8 FROM evolve.partition_step"
            " WHERE track = 'forward' AND name = ANY (%s)",
            (list(names),),
        ).fetchone()
    assert row is not None
    return float(str(row[0]))


def test_conversions_against_a_bare_insert(make_template: MakeTemplate, make_database: MakeDatabase) -> None:
    template = make_template("orders to measure", lambda url: make_orders(url, ROWS))
    seconds: dict[str, list[float]] = {
        "bare": [],
        "copy": [],
        "copy with indexes": [],
        "attach": [],
        "swap": [],
    }
    stalls: dict[str, float] = {"copy": 0.0, "attach": 0.0}
    for _ in range(ROUNDS):  # interleaved, so that a slow minute slows them all
        url = make_database(template)
        with writers(url, clients=2, rows=ROWS):
            seconds["bare"].append(bare(url))
        url = make_database(template)
        with writers(url, clients=2, rows=ROWS) as traffic:
            converted(url, planned(url))
            time.sleep(0.2)
        assert traffic.errors == []
        stalls["copy"] = max(stalls["copy"], traffic.longest)
        seconds["copy"].append(seconds_of(url, ("copy",)))
        seconds["copy with indexes"].append(seconds_of(url, ("copy", "indexes")))
        seconds["swap"].append(seconds_of(url, ("swap",)))
        acted(url, "roll_back")
        with writers(url, clients=2, rows=ROWS) as traffic:
            began = time.perf_counter()
            converted(url, planned(url, "attach"))
            seconds["attach"].append(time.perf_counter() - began)
        assert traffic.errors == []
        stalls["attach"] = max(stalls["attach"], traffic.longest)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    result = {
        "schema": 1,
        "benchmark": "convert_throughput",
        "rows": ROWS,
        "rounds": ROUNDS,
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "rows_per_second": {
            name: round(ROWS / medians[name]) for name in ("bare", "copy", "copy with indexes")
        },
        "throughput_against_bare": round(medians["bare"] / medians["copy with indexes"], 3),
        "attach_times_faster_than_copy": round(medians["copy with indexes"] / medians["attach"], 1),
        "longest_stall_ms": {name: round(value * 1000) for name, value in stalls.items()},
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "convert_throughput.json").write_text(json.dumps(result, indent=2) + "\n")
    print("\n" + json.dumps(result, indent=2))  # noqa: T201 - a benchmark shows what it measured
    # The aim is 0.75 on an idle machine; batches, cursor and the writers' own share cost the rest.
    assert medians["bare"] / medians["copy with indexes"] > 0.5
