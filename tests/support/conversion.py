"""Conversions driven from a test: planned, run, and killed at a chosen moment in a process of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psycopg

from evolve.app import convert_table
from evolve.app.convert_table import Environment, Patience
from evolve.partition.plan import Wish
from evolve.sql.names import QualifiedName
from support.command_line import Running, python, start_python
from support.orders import NOW

if TYPE_CHECKING:
    from evolve.partition.conversion import Conversion
    from evolve.partition.obstacles import UniqueAnswer
    from evolve.partition.steps import Step, Track
    from evolve.postgres.conversions import Record

TESTS = (Path(__file__).parents[1],)
ORDERS = QualifiedName("orders")
PER_PARTITION: Mapping[str, UniqueAnswer] = {"orders_ext_ref": "per-partition"}
MONTHS: Mapping[str, object] = {"key": "created_at", "interval": "1 month"}
YEARS: Mapping[str, object] = {"key": "created_at", "interval": "1 year", "premake": "1 year"}


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.waited: list[str] = []
        self.held: list[str] = []
        self.told: list[str] = []

    def takes(self, track: Track, steps: Sequence[Step], done: int) -> None: ...

    def begins(self, track: Track, step: Step, number: int, total: int) -> None:
        self.begun.append(step.name)

    def progresses(
        self, step: Step, rows: int, total: int, rows_per_second: float | None, size: int
    ) -> None: ...

    def waits(self, step: Step, reason: str, seconds: float) -> None:
        self.waited.append(reason)

    def holds(self, step: Step, reason: str) -> None:
        self.held.append(reason)

    def says(self, message: str) -> None:
        self.told.append(message)

    def ends(self, track: Track, step: Step, number: int, total: int, seconds: float) -> None: ...


def planned(
    url: str,
    recipe: Literal["auto", "copy", "attach"] = "copy",
    options: Mapping[str, object] = MONTHS,
    unique: Mapping[str, UniqueAnswer] = PER_PARTITION,
    table: QualifiedName = ORDERS,
) -> Conversion:
    return convert_table.plan_conversion(url, Wish(table, "range", options, recipe, unique), NOW)


def converted(
    url: str, conversion: Conversion, watcher: Watcher | None = None, budget: float = 20.0
) -> Record:
    return convert_table.convert(
        url,
        conversion,
        observer=watcher or Watcher(),
        patience=Patience(budget=budget),
        environment=Environment(now=lambda: NOW),
    )


def acted(
    url: str,
    action: Literal["resume", "roll_back", "finish"],
    watcher: Watcher | None = None,
    budget: float = 20.0,
) -> Record:
    act = {
        "resume": convert_table.resume,
        "roll_back": convert_table.roll_back,
        "finish": convert_table.finish,
    }[action]
    return act(
        url,
        ORDERS,
        observer=watcher or Watcher(),
        patience=Patience(budget=budget),
        environment=Environment(now=lambda: NOW),
    )


def killed(
    url: str,
    recipe: str,
    action: str,
    *,
    step: int,
    moment: Literal["begins", "ends", "progresses"],
    track: str = "forward",
) -> int:
    """Run `action` in a process that kills itself (SIGKILL) at `moment` of `step`; its exit status, -9 where it did."""
    done = python(
        _SUICIDE, *(url, recipe, action, track, str(step), moment),
        cwd=Path.cwd(), env=os.environ, path=TESTS, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def started(url: str, recipe: str, action: str) -> Running:
    """A conversion in a process of its own, for a test that kills it from outside."""
    return start_python(
        _SUICIDE, *(url, recipe, action, "never", "0", "begins"), cwd=Path.cwd(), env=os.environ, path=TESTS
    )


@contextmanager
def held(url: str, beyond: int) -> Iterator[None]:
    """Until the block ends nobody copies the first order whose id is greater than `beyond`, nor any behind it."""
    with psycopg.connect(url) as holder:
        holder.execute("SELECT FROM orders WHERE id > %s ORDER BY id LIMIT 1 FOR UPDATE", (beyond,))
        yield


def wait_until(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.02)


_SUICIDE = """
import os, signal, sys
from support.conversion import YEARS, Watcher, acted, converted, planned
url, recipe, action, track, step, moment = sys.argv[1:]

class Killer(Watcher):
    def _check(self, now, track_now, number):
        if (now, track_now, number) == (moment, track, int(step)):
            os.kill(os.getpid(), signal.SIGKILL)
    def begins(self, track_now, step_now, number, total):
        self._at = (track_now, number)
        self._check("begins", track_now, number)
    def progresses(self, *_):
        self._check("progresses", *self._at)
    def ends(self, track_now, step_now, number, total, seconds):
        self._check("ends", track_now, number)

if action == "convert":
    converted(url, planned(url, recipe, YEARS), Killer())
else:
    acted(url, action, Killer())
"""
