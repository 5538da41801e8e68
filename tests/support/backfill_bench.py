"""What rewriting a column costs a server: seconds, processor time, WAL, growth; for a backfill and for others' ways.

Every way gets a fresh copy of the same table. The sessions of a way have ended when it is measured: the postmaster
knows what those it has reaped used.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from evolve.postgres import scratch
from support.benchmarks import FOLDER

Way = Callable[[str], None]

ROWS = int(os.environ.get("EVOLVE_BENCH_ROWS", "2000000"))
ROUNDS = int(os.environ.get("EVOLVE_BENCH_ROUNDS", "5"))
# A commit waits for the disk, as in production. Nothing else runs beside what is measured.
SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "off",
}
TABLE = """
    CREATE TABLE accounts (id {key} PRIMARY KEY, account_id bigint NOT NULL, amount bigint NOT NULL,
        created_at timestamptz NOT NULL, email text NOT NULL, email_norm text, status text NOT NULL,
        note text NOT NULL)
"""
# About 140 bytes a row.
FILL = """
    INSERT INTO accounts SELECT {id}, hashint8(g), g % 1000, now() + g * interval '1 s', 'User' || g || '@Example.org',
        NULL, CASE g % 10 WHEN 0 THEN 'closed' ELSE 'open' END, repeat('x', 30)
        FROM generate_series(1, {rows}) g
"""
RANDOM = ("CREATE INDEX ON accounts (account_id)",)
CORRELATED = ("CREATE INDEX ON accounts (created_at)",)
MIXED = (*RANDOM, *CORRELATED, "CREATE INDEX ON accounts (status)", "CREATE INDEX ON accounts (email)")


@dataclass(frozen=True)
class Cost:
    """Of one way over the whole table.

    Args:
        seconds: on the clock.
        cpu: seconds of processor time in the server's sessions.
        wal: bytes.
        growth: how many times as large the heap is afterwards.
    """

    seconds: float
    cpu: float
    wal: int
    growth: float


class Bench:
    """One server with a template of the table for each kind of it."""

    def __init__(self, server: scratch.Server) -> None:
        self.server = server
        self._templates: dict[tuple[object, ...], str] = {}
        with psycopg.connect(server.url) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        self._folder = Path(str(row[0]))

    def template(
        self, indexes: tuple[str, ...], *, key: str = "bigint", rows: int = ROWS, also: tuple[str, ...] = ()
    ) -> str:
        """The name of a database with the table in it."""
        wanted = (indexes, key, rows, also)
        if wanted not in self._templates:
            url = self.server.create_database()
            made = "g" if key == "bigint" else "gen_random_uuid()"
            with psycopg.connect(url, autocommit=True) as connection:
                for statement in (
                    TABLE.format(key=key),
                    FILL.format(id=made, rows=rows),
                    *indexes,
                    *also,
                    "VACUUM (FREEZE, ANALYZE) accounts",
                ):
                    connection.execute(statement.encode())
            self._templates[wanted] = scratch.database_name(url)
        return self._templates[wanted]

    def cost(self, template: str, way: Way) -> Cost:
        """Of `way`, on a fresh copy."""
        with self.server.database(template) as url:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CHECKPOINT")
                # Both ways find the table in memory.
                connection.execute("SELECT sum(length(note)) FROM accounts")
                size, wal = self._size(connection), self._wal(connection)
            cpu = self._reaped()
            began = time.perf_counter()
            way(url)
            seconds = time.perf_counter() - began
            time.sleep(0.3)  # until the last session is reaped
            cpu = self._reaped() - cpu
            with psycopg.connect(url, autocommit=True) as connection:
                wal = self._wal(connection) - wal
                growth = self._size(connection) / size
                left = connection.execute(
                    "SELECT count(*) FROM accounts WHERE email_norm IS DISTINCT FROM lower(email)"
                ).fetchone()
            assert left == (0,), "it left rows behind"
        return Cost(seconds, cpu, wal, growth)

    def costs(self, template: str, ways: Mapping[str, Way], rounds: int = ROUNDS) -> dict[str, Cost]:
        """Medians; the ways take turns, so that a slow minute slows them all."""
        found: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                found[name].append(self.cost(template, way))
        return {
            name: Cost(
                statistics.median(cost.seconds for cost in costs),
                statistics.median(cost.cpu for cost in costs),
                int(statistics.median(cost.wal for cost in costs)),
                statistics.median(cost.growth for cost in costs),
            )
            for name, costs in found.items()
        }

    def _reaped(self) -> float:
        """Processor time of the sessions that have ended."""
        pid = (self._folder / "postmaster.pid").read_text().split()[0]
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def _size(self, connection: psycopg.Connection[tuple[object, ...]]) -> int:
        row = connection.execute("SELECT pg_relation_size('accounts')").fetchone()
        assert row is not None
        return int(str(row[0]))

    def _wal(self, connection: psycopg.Connection[tuple[object, ...]]) -> int:
        row = connection.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
        ).fetchone()
        assert row is not None
        return int(str(row[0]))


@contextmanager
def bench(settings: Mapping[str, str] | None = None) -> Iterator[Bench]:
    with scratch.server(settings={**SETTINGS, **(settings or {})}) as server:
        yield Bench(server)


def told(
    name: str, costs: Mapping[str, Cost], reference: str, rows: int = ROWS
) -> dict[str, dict[str, float]]:
    """Ratios against the reference, printed and written down: above 1 is better than it."""
    base = costs[reference]
    ratios = {
        way: {
            "throughput": base.seconds / cost.seconds,
            "cpu": base.cpu / cost.cpu if cost.cpu else 0.0,
            "wal": cost.wal / base.wal,
            "growth": cost.growth,
        }
        for way, cost in costs.items()
    }
    print(f"\n{name}, {rows:,} rows")  # noqa: T201  # it shows what it measured
    for way, ratio in ratios.items():
        print(  # noqa: T201
            f"  {way:34} {costs[way].seconds:6.2f} s  throughput {ratio['throughput']:5.2f} x"
            f"  cpu {ratio['cpu']:5.2f} x  WAL {ratio['wal']:5.2f}  heap {ratio['growth']:5.2f} x"
        )
    FOLDER.mkdir(exist_ok=True)
    result = {
        "schema": 1,
        "benchmark": name,
        "rows": rows,
        "rounds": ROUNDS,
        "reference": reference,
        "costs": {way: asdict(cost) for way, cost in costs.items()},
        "ratios": {
            way: {part: round(value, 3) for part, value in ratio.items()} for way, ratio in ratios.items()
        },
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    return ratios
