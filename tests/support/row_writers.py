"""Sessions that write the rows a function is computing, as an application of the new release does."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg


@dataclass
class Written:
    """
    Args:
        hits: added to rows that were still there.
        acts: that committed.
    """

    hits: int = 0
    acts: int = 0
    errors: list[BaseException] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def documents(url: str, rows: int) -> None:
    """A table whose label is to be `<source>`, with keys 10, 20, …"""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE documents (id bigint PRIMARY KEY, source text NOT NULL, label text,"
            " hits integer NOT NULL DEFAULT 0)"
        )
        connection.execute(
            "INSERT INTO documents SELECT g * 10, 'old ' || g FROM generate_series(1, %s) g", (rows,)
        )
        connection.execute("ANALYZE documents")


def wrong(url: str) -> list[tuple[object, ...]]:
    """Rows whose label is not that of their source."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(
            "SELECT id, source, label FROM documents WHERE label IS DISTINCT FROM '<' || source || '>'"
        ).fetchall()


def hits(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT coalesce(sum(hits), 0)::int FROM documents").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def writing(url: str, count: int, rows: int) -> Iterator[Written]:
    """While the block runs, `count` sessions write sources with their labels, count hits, move keys, delete, insert."""
    stop = threading.Event()
    written = Written()

    def work(seed: int) -> None:
        chance = random.Random(seed)
        fresh = seed * 10_000_000
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                while not stop.is_set():
                    key = chance.randrange(1, rows + 1) * 10
                    what = chance.random()
                    text = f"new {chance.random()}"
                    hit = 0
                    if what < 0.35:
                        connection.execute(
                            "UPDATE documents SET source = %(s)s, label = '<' || %(s)s || '>' WHERE id = %(k)s",
                            {"s": text, "k": key},
                        )
                    elif what < 0.6:
                        hit = connection.execute(
                            "UPDATE documents SET hits = hits + 1 WHERE id = %s", (key,)
                        ).rowcount
                    elif what < 0.7:
                        with connection.transaction():
                            hit = connection.execute(
                                "UPDATE documents SET hits = hits + 1 WHERE id = %s", (key,)
                            ).rowcount
                            time.sleep(0.01)
                    elif what < 0.8:
                        # A key that nobody else has; the row is written by the new release, so it is right.
                        connection.execute(
                            "UPDATE documents SET id = id + %(by)s, source = %(s)s, label = '<' || %(s)s || '>'"
                            " WHERE id = %(k)s",
                            {"by": chance.choice((-seed, seed)), "s": text, "k": key},
                        )
                    elif what < 0.9:
                        gone = connection.execute(
                            "DELETE FROM documents WHERE id = %s RETURNING hits", (key,)
                        ).fetchone()
                        hit = -int(gone[0]) if gone else 0
                    else:
                        fresh += 1
                        connection.execute(
                            "INSERT INTO documents VALUES (%(k)s, %(s)s, '<' || %(s)s || '>')",
                            {"k": fresh, "s": text},
                        )
                    with written.lock:
                        written.hits += hit
                        written.acts += 1
                    time.sleep(0.001)
        except BaseException as error:  # noqa: BLE001  # told to the test, which fails with it
            written.errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, count + 1)]
    for thread in threads:
        thread.start()
    try:
        yield written
    finally:
        stop.set()
        for thread in threads:
            thread.join()
