"""How a backfill shows itself while it works: a bar, plain lines, JSON lines, or nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from evolve.backfill.progress import Snapshot

SCHEMA = 1
LINE_EVERY = 5.0  # seconds between two plain lines
WAIT_AFTER = 1.0  # seconds until a wait that begins or ends has a line of its own
JSON_EVERY = 1.0


class Watch(Protocol):
    def report(self, snapshot: Snapshot) -> None: ...
    def say(self, message: str) -> None: ...


class Nothing:
    def report(self, snapshot: Snapshot) -> None: ...

    def say(self, message: str) -> None: ...


class Lines:
    """A line on stderr every few seconds, one for each phase, and one when a wait begins or ends.

    A limit on the rate makes a run wait after every batch: such waits share a line.
    """

    def __init__(self) -> None:
        self._last = float("-inf")
        self._state = ""

    def report(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if snapshot.state == self._state:
            pause = LINE_EVERY
        else:
            pause = WAIT_AFTER if "throttled" in (snapshot.state, self._state) else 0.0
        if now < self._last + pause:
            return
        self._last = now
        self._state = snapshot.state
        click.echo(f"{snapshot.name}: {describe(snapshot)}", err=True)

    def say(self, message: str) -> None:
        click.echo(message, err=True)


class JsonLines:
    """A JSON object a second on stdout; messages stay on stderr."""

    def __init__(self) -> None:
        self._next = 0.0

    def report(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + JSON_EVERY
        click.echo(json.dumps({"schema": SCHEMA, "event": "progress", **asdict(snapshot)}))

    def say(self, message: str) -> None:
        click.echo(message, err=True)


@contextmanager
def showing(report_format: str, *, quiet: bool) -> Iterator[Watch]:
    """The way that fits: JSON where it was asked for, a bar on a terminal, lines elsewhere."""
    if report_format == "json":
        yield JsonLines()
    elif quiet:
        yield Nothing()
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield bar
    else:
        yield Lines()


def describe(snapshot: Snapshot) -> str:
    """One line: state, share, rows, rate, time left, batch size, and why it waits."""
    parts = [snapshot.state]
    if snapshot.fraction is not None:
        parts.append(percent(snapshot.fraction))
    parts.append(f"{snapshot.rows:,} rows")
    if snapshot.rows_per_second:
        parts.append(f"{snapshot.rows_per_second:,.0f} rows/s")
    if snapshot.seconds_left is not None and snapshot.fraction != 1:
        parts.append(f"{duration(snapshot.seconds_left)} left")
    parts.append(f"batch {snapshot.size:,}")
    if snapshot.hold:
        parts.append(f"waiting: {snapshot.hold}")
    return ", ".join(parts)


def percent(fraction: float) -> str:
    """Rounded down, so that 100 % is the end and nothing else."""
    return f"{int(fraction * 100)} %"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


@contextmanager
def _bar() -> Iterator[Watch]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}"),
        console=console,
    )

    class Bar:
        def __init__(self) -> None:
            self._task = progress.add_task("", total=None, detail="")

        def report(self, snapshot: Snapshot) -> None:
            rate = f" {snapshot.rows_per_second:,.0f} rows/s" if snapshot.rows_per_second else ""
            left = (
                f" {duration(snapshot.seconds_left)} left"
                if snapshot.seconds_left is not None and snapshot.fraction != 1
                else ""
            )
            hold = f" waiting: {snapshot.hold}" if snapshot.hold else ""
            progress.update(
                self._task,
                description=f"{snapshot.name} {snapshot.state}",
                total=None if snapshot.fraction is None else 1.0,
                completed=snapshot.fraction or 0.0,
                detail=f"{snapshot.rows:,} rows{rate}{left} batch {snapshot.size:,}{hold}",
            )

        def say(self, message: str) -> None:
            # Not as markup: messages quote names and SQL.
            console.print(message, markup=False, highlight=False)

    with progress:
        yield Bar()
