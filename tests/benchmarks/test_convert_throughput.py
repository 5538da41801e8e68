"""Conversions under paced clients: recipe copy against a bare INSERT … SELECT, recipe attach against recipe copy.

The table carries all that a table can carry. In one round every way gets a fresh copy of the same table and the same
clients; the ways take turns, so that a slow minute slows them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.conversion import acted, converted, planned
from support.orders import COLUMNS, make_orders
from support.partition_bench import (
    ROUNDS,
    ROWS,
    Clients,
    median,
    paced,
    row_hashes,
    server,
    steps_of,
    told,
)

from evolve.partition.steps import BuildIndex, Statements
from evolve.postgres import scratch

pytestmark = pytest.mark.server

FIRST, DAYS = "2026-06-03 00:00+00", 170
OLD = "orders_evolve_old"


def make_shadow(url: str) -> None:
    """The very shadow of recipe copy, with the indexes that it gets in the end."""
    with psycopg.connect(url, autocommit=True) as connection:
        for step in planned(url).forward:
            match step:
                case Statements(name="create", statements=statements):
                    for statement in statements:
                        connection.execute(statement.sql.encode())
                case BuildIndex(build=build, attach=attach):
                    connection.execute(build.sql.replace("CONCURRENTLY ", "").encode())
                    if attach is not None:
                        connection.execute(attach.sql.encode())
                case _:
                    pass


def bare(url: str) -> float:
    """Seconds for the copy that nothing disturbs: no batches, no cursor, no trigger."""
    with psycopg.connect(url, autocommit=True) as connection:
        began = time.perf_counter()
        connection.execute(
            f"INSERT INTO orders_evolve_new ({COLUMNS}) OVERRIDING SYSTEM VALUE SELECT {COLUMNS} FROM orders".encode()
        )
        return time.perf_counter() - began


class Measured:
    """Seconds of each round by what took them, and what clients noticed of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.longest: dict[str, float] = {}
        self.errors: list[str] = []
        self.transactions = 0
        self.steps: dict[str, dict[str, float]] = {}  # of the last round

    def add(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)

    def noticed(self, name: str, clients: Clients, longest: float) -> None:
        self.longest[name] = max(self.longest.get(name, 0.0), longest)
        self.errors += clients.errors
        self.transactions += clients.done


def test_conversions_under_paced_clients(tmp_path: Path) -> None:
    with server() as running:
        template = running.create_database()
        make_orders(template, ROWS, extras=True)
        measured = Measured()
        for number in range(ROUNDS):
            for way in (nothing, bare_insert, copied, attached):
                with running.database(scratch.database_name(template)) as url:
                    way(url, measured, tmp_path / f"{number} {way.__name__}")
    medians = {name: median(times) for name, times in measured.seconds.items()}
    result = {
        "clients": {"transactions": measured.transactions, "errors": len(measured.errors)},
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "steps": measured.steps,
        "rows_per_second": {
            name: round(ROWS / medians[name]) for name in ("bare", "copy", "copy with indexes", "copy in all")
        },
        "throughput_against_bare": round(medians["bare"] / medians["copy with indexes"], 3),
        "attach_times_faster_than_copy": {
            "until swapped": round(medians["copy until swapped"] / medians["attach until swapped"], 1),
            "in all": round(medians["copy in all"] / medians["attach"], 1),
        },
        "longest_stall_ms": {name: round(value * 1000) for name, value in measured.longest.items()},
    }
    told("convert_throughput", result)
    assert measured.errors == []
    assert medians["copy until swapped"] / medians["attach until swapped"] >= 12
    assert medians["bare"] / medians["copy with indexes"] >= 0.75
    assert max(medians["swap"], medians["attach swap"]) <= 0.1
    assert max(measured.longest["copy"], measured.longest["attach"]) <= 0.1


def nothing(url: str, measured: Measured, folder: Path) -> None:
    """What clients wait for when nobody converts anything."""
    with paced(url, folder, first=FIRST, days=DAYS) as clients:
        time.sleep(5)
    measured.noticed("nothing", clients, clients.longest())


def bare_insert(url: str, measured: Measured, folder: Path) -> None:
    make_shadow(url)
    with paced(url, folder, first=FIRST, days=DAYS) as clients:
        measured.add("bare", bare(url))
    measured.noticed("bare", clients, clients.longest())


def copied(url: str, measured: Measured, folder: Path) -> None:
    began, ended, clients = _converted(url, folder, lambda: converted(url, planned(url)))
    steps = steps_of(url)
    measured.add("copy", steps["copy"].seconds)
    measured.add("copy with indexes", steps["copy"].seconds + steps["indexes"].seconds)
    measured.add("copy in all", ended - began)
    measured.add("copy until swapped", steps["swap"].ended - began)
    measured.steps["copy"] = {name: round(step.seconds, 3) for name, step in steps.items()}
    measured.add("swap", steps["swap"].seconds)
    measured.noticed("copy", clients, clients.longest(began, ended))
    measured.noticed("copy, swap", clients, clients.longest(steps["swap"].began, steps["swap"].ended + 0.5))
    # Verified before the swap; the clients went on writing after it.
    after = row_hashes(url, "orders")
    assert row_hashes(url, OLD) == after
    acted(url, "roll_back")
    assert row_hashes(url, "orders") == after


def attached(url: str, measured: Measured, folder: Path) -> None:
    began, ended, clients = _converted(url, folder, lambda: converted(url, planned(url, "attach")))
    steps = steps_of(url)
    measured.add("attach", ended - began)
    measured.add("attach until swapped", steps["swap"].ended - began)
    measured.steps["attach"] = {name: round(step.seconds, 3) for name, step in steps.items()}
    measured.add("attach swap", steps["swap"].seconds)
    measured.noticed("attach", clients, clients.longest(began, ended))
    after = row_hashes(url, "orders")
    acted(url, "roll_back")
    assert row_hashes(url, "orders") == after


def _converted(url: str, folder: Path, act: Callable[[], object]) -> tuple[float, float, Clients]:
    with paced(url, folder, first=FIRST, days=DAYS) as clients:
        began = time.time()
        act()
        ended = time.time()
        time.sleep(2)
    return began, ended, clients
