"""An application at work on `accounts` beside a backfill, at a pace of its own: `python -m support.open_loop URL …`.

It runs in a process of its own, so that it does not compete with a backfill for one interpreter. Each client has its
transactions scheduled beforehand; one that begins late, since the one before it has not ended, was late for its user:
latency counts from the schedule (no coordinated omission). Moments are of the clock that all processes share.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg

UPDATE, READ, OTHER = "update", "read", "other table"
CLIENTS = (UPDATE, UPDATE, READ, OTHER)
LATE = 0.25  # seconds that its start takes at most

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One transaction.

    Args:
        at: second for which it was scheduled, by the clock.
        seconds: from then to its end.
    """

    kind: str
    at: float
    seconds: float


class Load:
    """Transactions of the clients, until `stop`; what was scheduled by then is carried out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._samples: list[Sample] | None = None

    def stop(self) -> list[Sample]:
        if self._samples is None:
            out, _ = self._process.communicate("stop\n")
            assert self._process.returncode == 0
            self._samples = [Sample(*each) for each in json.loads(out)]
        return self._samples


@contextmanager
def load(url: str, rates: Sequence[float], *, rows: int, every: float = 2.0) -> Iterator[Load]:
    """Clients at work while the block lasts, from when all of them are connected.

    Args:
        rates: transactions a second of all clients together; one after the other, over and over, each for `every` s.
        rows: of the table.
    """
    words = [url, str(rows), str(every), *map(str, rates)]
    process = subprocess.Popen(
        [sys.executable, "-m", "support.open_loop", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        made = Load(process)
        yield made
        made.stop()
    finally:
        process.kill()
        process.communicate()


def schedule(began: float, client: int, rates: Sequence[float], every: float) -> Iterator[float]:
    """Moments of one client; those of all clients are spread evenly."""
    rate = rates[0] / len(CLIENTS)
    at = began + client / rates[0]
    while True:
        yield at
        rate = rates[int((at - began) / every) % len(rates)] / len(CLIENTS)
        at += 1 / rate


def act(kind: str, connection: Connection, chance: random.Random, rows: int) -> None:
    key = chance.randrange(1, rows + 1)
    if kind == UPDATE:
        connection.execute("UPDATE accounts SET amount = amount + 1 WHERE id = %s", (key,))
    elif kind == READ:
        connection.execute("SELECT email, amount FROM accounts WHERE id = %s", (key,)).fetchone()
    else:
        connection.execute("UPDATE elsewhere SET n = n + 1 WHERE id = %s", (key % 1000 + 1,))


def run(url: str, rows: int, every: float, rates: Sequence[float], words: IO[str]) -> list[Sample]:
    stop, go = threading.Event(), threading.Event()
    samples: list[list[Sample]] = [[] for _ in CLIENTS]
    began = 0.0
    ready = threading.Barrier(len(CLIENTS) + 1)

    def client(number: int, kind: str) -> None:
        chance = random.Random(number)
        with psycopg.connect(url, autocommit=True, application_name="application") as connection:
            for _ in range(10):  # prepared, and in memory
                act(kind, connection, chance, rows)
            ready.wait()
            go.wait()
            for at in schedule(began, number, rates, every):
                wait = at - time.monotonic()
                if wait > 0 and stop.wait(wait):
                    break
                if stop.is_set() and at > ended[0]:
                    break
                act(kind, connection, chance, rows)
                samples[number].append(Sample(kind, at, time.monotonic() - at))

    ended = [float("inf")]
    threads = [threading.Thread(target=client, args=each) for each in enumerate(CLIENTS)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.monotonic() + LATE
    go.set()
    print("ready", flush=True)  # noqa: T201  # to whoever started it
    words.readline()
    ended[0] = time.monotonic()
    stop.set()
    for thread in threads:
        thread.join()
    return [sample for each in samples for sample in each]


def main() -> None:
    url, rows, every, *rates = sys.argv[1:]
    found = run(url, int(rows), float(every), [float(rate) for rate in rates], sys.stdin)
    print(json.dumps([(each.kind, each.at, each.seconds) for each in found]))  # noqa: T201


if __name__ == "__main__":
    main()
