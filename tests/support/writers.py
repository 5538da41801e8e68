"""Clients of two application versions that write a table all the time and remember what they wrote."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql


@dataclass
class Writer:
    """One client: inserts rows of its own and changes them, each in a transaction, through one column name.

    Args:
        failures: what went wrong, errors of the server and values that were not there on reading back.
        rows: id → the value that must be there.
    """

    url: str
    table: str
    column: str
    name: str
    seed: int
    transactions: int = 0
    failures: list[str] = field(default_factory=list)
    rows: dict[int, str] = field(default_factory=dict)
    longest: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)
            assert not self._thread.is_alive(), f"{self.name} hangs"

    def _work(self) -> None:
        chance = random.Random(self.seed)
        names = {"t": sql.Identifier(self.table), "c": sql.Identifier(self.column)}
        insert = sql.SQL("INSERT INTO {t} ({c}) VALUES (%s) RETURNING id").format(**names)
        update = sql.SQL("UPDATE {t} SET {c} = %s WHERE id = %s AND {c} = %s").format(**names)
        select = sql.SQL("SELECT {c} FROM {t} WHERE id = %s").format(**names)
        with psycopg.connect(self.url, application_name=self.name) as connection:
            while not self._stop.is_set():
                value = f"{self.name}-{self.transactions}-{chance.random()}"
                began = time.monotonic()
                try:
                    if not self.rows or chance.random() < 0.3:
                        row = connection.execute(insert, (value,)).fetchone()
                        connection.commit()
                        assert row is not None
                        self.rows[int(row[0])] = value
                    else:
                        key = chance.choice(list(self.rows))
                        changed = connection.execute(update, (value, key, self.rows[key])).rowcount
                        connection.commit()
                        if changed != 1:
                            self.failures.append(f"row {key} did not hold {self.rows[key]}")
                        self.rows[key] = value
                        read = connection.execute(select, (key,)).fetchone()
                        connection.commit()
                        if read != (value,):
                            self.failures.append(f"row {key} reads {read}, not {value}")
                except psycopg.Error as error:
                    self.failures.append(str(error))
                    connection.rollback()
                self.longest = max(self.longest, time.monotonic() - began)
                self.transactions += 1
                time.sleep(chance.random() * 0.004)


class Crowd:
    """Writers of several versions on one table."""

    def __init__(self, url: str, table: str) -> None:
        self.url = url
        self.table = table
        self.all: list[Writer] = []
        self._running: dict[str, list[Writer]] = {}

    def start(self, version: str, column: str, count: int = 4) -> None:
        writers = [
            Writer(
                self.url, self.table, column, f"{version}-{len(self.all) + number}", len(self.all) + number
            )
            for number in range(count)
        ]
        self.all += writers
        self._running[version] = writers
        for writer in writers:
            writer.start()

    def stop(self, version: str) -> None:
        for writer in self._running.pop(version, []):
            writer.stop()

    def stop_all(self) -> None:
        for version in list(self._running):
            self.stop(version)

    def settle(self, seconds: float = 0.3) -> None:
        """Let every version write for a while in the state that is now."""
        time.sleep(seconds)

    @property
    def failures(self) -> list[str]:
        return [f"{writer.name}: {failure}" for writer in self.all for failure in writer.failures]

    @property
    def expected(self) -> dict[int, str]:
        return {key: value for writer in self.all for key, value in writer.rows.items()}

    @property
    def transactions(self) -> int:
        return sum(writer.transactions for writer in self.all)


@contextmanager
def crowd(url: str, table: str) -> Iterator[Crowd]:
    """Stops all writers at the end, whatever happened."""
    made = Crowd(url, table)
    try:
        yield made
    finally:
        made.stop_all()
