"""Premake, retain and check of a table with many partitions: flat for each partition.

EVOLVE_BENCH_PARTITIONS is how many the large table has (default 2,000; the small one has a tenth).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from support.servers import MakeDatabase
from support.upkeep import EVENTS

from evolve.app.check_partitions import check_partitions
from evolve.app.premake_partitions import premake
from evolve.app.retain_partitions import Environment, retain
from evolve.config import PartitionedTable

pytestmark = pytest.mark.server

PARTITIONS = int(os.environ.get("EVOLVE_BENCH_PARTITIONS", "2000"))
NOW = datetime(2027, 3, 20, 12, tzinfo=UTC)
MADE = 20
LEFT = 20

_MAKE = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
        'events_p' || to_char(timestamptz '{end}' - n * interval '1 day', 'YYYY_MM_DD'),
        timestamptz '{end}' - n * interval '1 day', timestamptz '{end}' - (n - 1) * interval '1 day');
    EXECUTE format('COMMENT ON TABLE %I IS ''made by evolve: partition of events''',
        'events_p' || to_char(timestamptz '{end}' - n * interval '1 day', 'YYYY_MM_DD'));
END LOOP; END $$
"""


def _made(url: str, partitions: int) -> None:
    """Days that end with the day after NOW."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute("CREATE TABLE events (at timestamptz NOT NULL, id bigint) PARTITION BY RANGE (at)")
        for first in range(1, partitions + 1, 500):
            last = min(first + 499, partitions)
            connection.execute(_MAKE.format(first=first, last=last, end="2027-03-21").encode())


def _timed(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def _measured(url: str, partitions: int) -> dict[str, float]:
    """Milliseconds of each command for each partition that the table has."""
    _made(url, partitions)
    keep = f"{partitions - LEFT - 1} days"
    options = {"key": "at", "interval": "day", "premake": f"{MADE} days", "retention": {"keep": keep}}
    tables = {"events": PartitionedTable("range", options)}
    environment = Environment(server_clock=lambda _: NOW)
    taken = {
        "check": _timed(lambda: check_partitions(url, tables, EVENTS, NOW)),
        "premake": _timed(lambda: premake(url, tables, EVENTS, NOW)),
        "retain": _timed(lambda: retain(url, tables, EVENTS, NOW, environment=environment)),
        "nothing": _timed(lambda: premake(url, tables, EVENTS, NOW)),
    }
    assert (
        len(
            retain(
                url,
                tables,
                EVENTS,
                NOW + timedelta(days=8),
                dry_run=True,
                environment=Environment(server_clock=lambda _: NOW + timedelta(days=8)),
            )[0].done
        )
        >= LEFT
    )
    return {name: seconds / partitions * 1e3 for name, seconds in taken.items()}


def test_upkeep_is_flat_per_partition(make_database: MakeDatabase) -> None:
    small = _measured(make_database(), PARTITIONS // 10)
    large = _measured(make_database(), PARTITIONS)
    for name in small:
        sys.stderr.write(
            f"{name:8} {PARTITIONS // 10:6,}: {small[name]:.3f} ms  {PARTITIONS:6,}: {large[name]:.3f} ms a partition, "
            f"{large[name] * PARTITIONS / 1e3:.2f} s in all\n"
        )
    assert all(large[name] < small[name] * 3 for name in small)
