"""What partitioning costs clients: paced ones beside it and how long they waited, a reader that counts, row hashes."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from evolve.postgres import scratch
from support.benchmarks import FOLDER
from support.orders import COLUMNS, scalar

ROWS = int(os.environ.get("EVOLVE_BENCH_ROWS", "2000000"))
ROUNDS = int(os.environ.get("EVOLVE_BENCH_ROUNDS", "3"))
PER_SECOND = 300  # transactions of all clients together
CLIENTS = 4
STILL = 21  # the tenant whose rows no client changes
# A commit waits for the disk, as in production.
SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}

# Weight in a hundred, and what the transaction does.
_SCRIPTS = {
    "insert": (
        31,
        """\\set tenant random(1, 20)
\\set customer random(1, 50)
\\set second random(0, {seconds})
INSERT INTO orders (tenant_id, customer_id, region, created_at)
    VALUES (:tenant, :customer, 'eu', timestamptz '{first}' + :second * interval '1 second');
""",
    ),
    "update": (
        31,
        """\\set id random(1, {rows})
UPDATE orders SET amount = amount + 1, status = 'paid' WHERE id = :id AND tenant_id <> {still};
""",
    ),
    "move": (
        6,
        """\\set id random(1, {rows})
UPDATE orders SET created_at = created_at + interval '20 days'
    WHERE id = :id AND tenant_id <> {still} AND created_at < timestamptz '{first}' + {seconds} * interval '0.8 second';
""",
    ),
    "delete": (
        6,
        """\\set id random(1, {rows})
DELETE FROM orders WHERE id = :id AND tenant_id <> {still};
""",
    ),
    "read": (
        26,
        """\\set id random(1, {rows})
SELECT status, amount FROM orders WHERE id = :id;
""",
    ),
}


@dataclass
class Clients:
    """Filled when the block of `paced` ends.

    Args:
        done: transactions.
        errors: those that failed, and what clients said before they gave up.
        waits: of each transaction when it ended (epoch) and how many seconds after its due time, so a queue behind
            a lock counts for all who stand in it.
    """

    done: int = 0
    errors: list[str] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)

    def longest(self, since: float = 0.0, until: float = float("inf")) -> float:
        """Seconds, of transactions that ended between the two (epoch)."""
        return max((wait for at, wait in self.waits if since <= at <= until), default=0.0)


def pgbench() -> str:
    found = shutil.which("pgbench")
    for pattern in ("/usr/lib/postgresql/*/bin/pgbench", "/usr/pgsql-*/bin/pgbench"):
        found = found or next(iter(sorted(map(str, Path("/").glob(pattern.lstrip("/"))), reverse=True)), None)
    if found is None:
        pytest.skip("the clients are pgbench's, and it is not installed")
    return found


@contextmanager
def paced(url: str, folder: Path, *, first: str, days: int, rows: int = ROWS) -> Iterator[Clients]:
    """Clients that write and read `orders` at a fixed pace until the block ends; the first second of it is theirs.

    Args:
        folder: a fresh one of these clients.
        first, days: where the keys are.
    """
    folder.mkdir(parents=True)
    values = {"rows": rows, "first": first, "seconds": days * 86_400 - 1, "still": STILL}
    scripts = []
    for name, (weight, text) in _SCRIPTS.items():
        (folder / name).write_text(text.format(**values))
        scripts += ["--file", f"{folder / name}@{weight}"]
    clients = Clients()
    process = subprocess.Popen(
        [
            *(pgbench(), "--no-vacuum", "--client", str(CLIENTS), "--rate", str(PER_SECOND)),
            *("--time", "100000", "--log", "--log-prefix", str(folder / "log"), "--failures-detailed"),
            *(*scripts, url),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(1.0)
        yield clients
    finally:
        # What its own --time raises: it ends the transactions at hand and writes its log.
        process.send_signal(signal.SIGALRM)
        _, said = process.communicate(timeout=60)
        clients.errors += [line for line in said.splitlines() if "abort" in line or "ERROR" in line]
        for log in folder.glob("log.*"):
            for line in log.read_text().splitlines():
                parts = line.split()
                if parts[2].isdecimal():
                    clients.waits.append((int(parts[4]) + int(parts[5]) / 1e6, int(parts[2]) / 1e6))
                else:
                    clients.errors.append(parts[2])
        clients.done = len(clients.waits)


@dataclass
class Sight:
    """What a reader saw of the rows that nobody changes.

    Args:
        least: how many at worst.
    """

    looks: int = 0
    least: int = 0


@contextmanager
def counting(url: str) -> Iterator[tuple[int, Sight]]:
    """A reader that counts rows which nobody changes, all the time; yields how many there are."""
    question = f"SELECT count(*) FROM orders WHERE tenant_id = {STILL}"
    total = int(str(scalar(url, question)))
    sight = Sight(least=total)
    stop = threading.Event()

    def read() -> None:
        with psycopg.connect(url, autocommit=True, application_name="reader") as connection:
            while not stop.wait(0.02):
                row = connection.execute(question.encode()).fetchone()
                assert row is not None
                sight.looks += 1
                sight.least = min(sight.least, int(str(row[0])))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield total, sight
    finally:
        stop.set()
        thread.join()


def row_hashes(url: str, table: str) -> tuple[object, object]:
    """How many rows there are, and the sum of their hashes."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*), sum(hashtextextended(r::text, 0)::numeric)"
            f" FROM (SELECT {COLUMNS} FROM {table}) AS r".encode()
        ).fetchone()
    assert row is not None
    return row[0], row[1]


@dataclass(frozen=True)
class Span:
    """Of the steps of one name. `began`, `ended`: epoch."""

    seconds: float
    began: float
    ended: float


def steps_of(url: str) -> dict[str, Span]:
    """What the last conversion or move spent on each kind of step, as its journal says."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT name, sum(extract(epoch FROM done_at - started_at))::float8,"
            " min(extract(epoch FROM started_at))::float8, max(extract(epoch FROM done_at))::float8"
            " FROM evolve.partition_step WHERE track = 'forward' AND done_at IS NOT NULL"
            " AND conversion_id = (SELECT max(conversion_id) FROM evolve.partition_conversion) GROUP BY name"
        ).fetchall()
    return {
        str(name): Span(float(str(spent)), float(str(began)), float(str(ended)))
        for name, spent, began, ended in rows
    }


@contextmanager
def server(version: str | None = None) -> Iterator[scratch.Server]:
    with scratch.server(version, settings=SETTINGS) as started:
        yield started


def median(values: list[float]) -> float:
    return statistics.median(values)


def told(name: str, result: Mapping[str, object]) -> None:
    """Printed, and written to .bench/."""
    whole = {
        "schema": 1,
        "benchmark": name,
        "rows": ROWS,
        "rounds": ROUNDS,
        **result,
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(whole, indent=2) + "\n")
    print("\n" + json.dumps(whole, indent=2))  # noqa: T201 - a benchmark shows what it measured
