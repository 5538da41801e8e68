"""What the dashboard costs: while nobody looks, one and a hundred do; and how soon they see what was committed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from support.backfill import Quiet, fill, numbers, spec
from support.benchmarks import FOLDER
from support.command_line import Running, start_evolve

from evolve.app.backfill_work import Pace
from evolve.app.steer_backfill import set_backfill
from evolve.backfill.settings import Settings

pytestmark = pytest.mark.server

NAME = "numbers.n"
VIEWERS = 100
SECONDS = 20.0  # of each stretch
ALONE = 65.0  # seconds after which a viewer has gone for sure
CHANGES = 10
_TICKS = os.sysconf("SC_CLK_TCK")


class Served:
    """A dashboard as a process of its own, and the database it looks at."""

    def __init__(self, process: Running, url: str) -> None:
        assert process.stdout is not None
        link = urlsplit(process.stdout.readline().strip())
        self.port = link.port or 0
        self._token = link.query.removeprefix("token=")
        self._pid = process.pid
        self._writers: list[asyncio.StreamWriter] = []
        self._database = psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        self._database.close()

    def costs(self) -> tuple[float, float, float]:
        """By now: the clock, seconds of a processor, and statements that the database has carried out."""
        time.sleep(1)  # a session tells what it did with a delay
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        row = self._database.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        return time.monotonic(), sum(map(int, fields[11:13])) / _TICKS, float(str(row and row[0]))

    async def viewer(self) -> asyncio.StreamReader:
        """Somebody who listens to the page of the run."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        host, header = f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {self._token}"
        writer.write(f"GET /live?name={NAME} HTTP/1.1\r\n{host}\r\n{header}\r\n\r\n".encode())
        assert b"200" in await reader.readline()
        self._writers.append(writer)
        return reader

    def leave(self) -> None:
        while self._writers:
            self._writers.pop().close()


@pytest.fixture
def dashboard(database_url: str, tmp_path: Path) -> Iterator[Served]:
    """Of a run that was paused."""
    numbers(database_url, 2_000)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches >= 3
    fill(database_url, spec("numbers", "n", "7"), quiet, pace=Pace(largest=100))
    process = start_evolve("dashboard", "--port", "0", "--database-url", database_url, cwd=tmp_path)
    served = Served(process, database_url)
    try:
        yield served
    finally:
        served.close()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_what_viewers_cost(dashboard: Served, database_url: str) -> None:
    result: dict[str, float | int | str] = {"schema": 1, "benchmark": "dashboard"}

    def stretch(name: str, before: tuple[float, float, float], after: tuple[float, float, float]) -> None:
        seconds, used, statements = (end - begin for begin, end in zip(before, after, strict=True))
        result[f"{name}_share_of_a_core"] = round(used / seconds, 5)
        result[f"{name}_statements_per_second"] = round(statements / seconds, 2)

    async def drain(reader: asyncio.StreamReader) -> None:
        while await reader.readline():
            pass

    async def watched(viewers: int) -> None:
        readers = [await dashboard.viewer() for _ in range(viewers)]
        tasks = [asyncio.create_task(drain(reader)) for reader in readers]
        await asyncio.sleep(3)
        before = await asyncio.to_thread(dashboard.costs)
        await asyncio.sleep(SECONDS)
        stretch(f"viewers_{viewers}", before, await asyncio.to_thread(dashboard.costs))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        dashboard.leave()

    async def seen_after(readers: list[asyncio.StreamReader], duty: float) -> list[float]:
        """Seconds until each of them has what is set now."""
        mark = f"duty={duty:g}".encode()

        async def seen(reader: asyncio.StreamReader) -> float:
            while True:
                line = await reader.readline()
                assert line, "the stream has ended"
                if mark in line:
                    return time.monotonic()

        tasks = [asyncio.create_task(seen(reader)) for reader in readers]
        await asyncio.to_thread(set_backfill, database_url, NAME, Settings(duty=duty))
        committed = time.monotonic()
        return [await task - committed for task in tasks]

    async def told() -> None:
        readers = [await dashboard.viewer() for _ in range(VIEWERS)]
        delays: list[float] = []
        before = await asyncio.to_thread(dashboard.costs)
        for number in range(CHANGES):
            delays += await seen_after(readers, 0.5 + number / 100)
        stretch("told", before, await asyncio.to_thread(dashboard.costs))
        result["told_median_seconds"] = round(statistics.median(delays), 3)
        result["told_most_seconds"] = round(max(delays), 3)
        dashboard.leave()

    time.sleep(ALONE)
    before = dashboard.costs()
    time.sleep(SECONDS)
    stretch("idle", before, dashboard.costs())
    asyncio.run(watched(1))
    asyncio.run(watched(VIEWERS))
    asyncio.run(told())
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "dashboard.json").write_text(json.dumps(result, indent=2) + "\n")
    print("\n" + "\n".join(f"  {name}: {value}" for name, value in result.items()))  # noqa: T201  # it shows what it measured
    assert result["idle_share_of_a_core"] < 0.01  # type: ignore[operator]
    assert result["viewers_1_share_of_a_core"] < 0.01  # type: ignore[operator]
    # However many look, the database is looked at once.
    one, many = result["viewers_1_statements_per_second"], result[f"viewers_{VIEWERS}_statements_per_second"]
    assert many < 1.3 * one  # type: ignore[operator]
