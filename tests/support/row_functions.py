"""Functions that backfills of tests call, named as `support.row_functions:name`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from evolve.backfill.calling import Row

# What a test wants done before a batch is answered, in the thread of the worker.
before: list[Callable[[list[Row]], None]] = []


def label(source: object) -> str:
    return f"<{source}>"


def labelled(rows: list[Row]) -> Iterator[Row]:
    for act in before:
        act(rows)
    return ({"label": label(row["source"])} for row in rows)


async def labelled_together(row: Row) -> Row:
    await asyncio.sleep(0)
    return {"label": label(row["source"])}


def one_more(rows: list[Row]) -> list[Row]:
    """Not idempotent: a row that is met twice shows it."""
    return [{"n": int(str(row["n"])) + 1} for row in rows]


def one_more_of_seven_none(row: Row) -> Row:
    if int(str(row["id"])) % 21 == 0:
        raise ValueError("no sevens")
    return {"n": 1}


def slow(rows: list[Row]) -> list[Row]:
    time.sleep(0.01 * len(rows))
    return one_more(rows)


def dropping(rows: list[Row]) -> list[Row]:
    return one_more(rows[1:])


def another_type(rows: list[Row]) -> list[Row]:
    return [{"n": "many"} for _ in rows]
