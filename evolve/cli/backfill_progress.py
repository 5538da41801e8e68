"""How a backfill shows itself while it works: a bar, plain lines, JSON lines, or nothing."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

import click

from evolve.durations import duration, percent, span

if TYPE_CHECKING:
    from rich.console import RenderableType

    from evolve.backfill.progress import Snapshot

SCHEMA = 1
LINE_EVERY = 5.0  # seconds between two plain lines
WAIT_AFTER = 1.0  # seconds until a wait that begins, ends or has another reason gets a line of its own
JSON_EVERY = 1.0
NARROW = 60  # columns of a terminal below which a bar has no room beside its numbers
WIDEST = 40  # columns of a bar

_NUMBER = re.compile(r"\d[\d.,]*")


class Watch(Protocol):
    def report(self, snapshot: Snapshot) -> None: ...
    def say(self, message: str) -> None: ...


class Nothing:
    def report(self, snapshot: Snapshot) -> None: ...

    def say(self, message: str) -> None: ...


class Lines:
    """A line on stderr every few seconds, one for each phase, and one when a wait begins, ends or has another reason.

    A limit on the rate makes a run wait after every batch: such waits share a line.
    """

    def __init__(self) -> None:
        self._last = float("-inf")
        self._state = ""
        self._reason: str | None = None

    def report(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        # What is measured changes from look to look, and is no other reason.
        reason = None if snapshot.hold is None else _NUMBER.sub("", snapshot.hold)
        if snapshot.state != self._state:
            pause = WAIT_AFTER if "throttled" in (snapshot.state, self._state) else 0.0
        else:
            pause = LINE_EVERY if reason == self._reason else WAIT_AFTER
        if now < self._last + pause:
            return
        self._last = now
        self._state = snapshot.state
        self._reason = reason
        click.echo(f"{snapshot.name}: {describe(snapshot)}", err=True)

    def say(self, message: str) -> None:
        click.echo(message, err=True)


class JsonLines:
    """A JSON object a second on stdout, and one for each phase; messages stay on stderr."""

    def __init__(self) -> None:
        self._next = 0.0
        self._state = ""

    def report(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        waits = "throttled" in (snapshot.state, self._state)
        if now < self._next and (waits or snapshot.state == self._state):
            return
        self._next = now + JSON_EVERY
        self._state = snapshot.state
        click.echo(json.dumps({"schema": SCHEMA, "event": "progress", **asdict(snapshot)}))

    def say(self, message: str) -> None:
        click.echo(message, err=True)


@contextmanager
def showing(report_format: str, *, quiet: bool) -> Iterator[Watch]:
    """The way that fits: JSON where it was asked for, a bar on a terminal that can move its cursor, lines elsewhere."""
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
    return ", ".join([snapshot.state, *_share(snapshot), *_numbers(snapshot), *_waits(snapshot)])


def fitting(parts: Sequence[str], width: int) -> str:
    """As many of `parts` as have room in a line of `width` columns, from the first on; of the first, what has."""
    line = ""
    for part in parts:
        longer = f"{line}  {part}" if line else part
        if len(longer) > width:
            break
        line = longer
    return line or (parts[0][: max(width - 1, 0)] + "…" if parts and width > 0 else "")


def _share(snapshot: Snapshot) -> list[str]:
    return [] if snapshot.fraction is None else [percent(snapshot.fraction)]


def _numbers(snapshot: Snapshot) -> list[str]:
    """What is most worth knowing first, apart from the share."""
    parts = []
    if snapshot.rejects:
        parts.append(f"{snapshot.rejects:,} set aside")
    parts.append(f"{snapshot.rows:,} rows")
    if snapshot.rows_per_second:
        mean = snapshot.mean_rows_per_second
        # Of two that are nearly the same one is enough.
        apart = mean is not None and not 0.9 <= mean / snapshot.rows_per_second <= 1.1
        parts.append(f"{snapshot.rows_per_second:,.0f} rows/s" + (f" (mean {mean:,.0f})" if apart else ""))
    left = time_left(snapshot)
    if left is not None:
        parts.append(left)
    parts.append(f"batch {snapshot.size:,}")
    if snapshot.duty is not None and snapshot.duty < 0.95:
        parts.append(f"{percent(snapshot.duty)} at work")
    return parts


def _waits(snapshot: Snapshot) -> list[str]:
    return [f"waiting: {snapshot.hold}"] if snapshot.hold else []


def time_left(snapshot: Snapshot) -> str | None:
    """None at the end, and where nothing tells."""
    if snapshot.seconds_left is None or snapshot.fraction == 1:
        return None
    least, most = snapshot.seconds_least, snapshot.seconds_most
    if least is None or most is None or duration(least) == duration(most):
        return f"{duration(snapshot.seconds_left)} left"
    return f"{span(least, most)} left"


@contextmanager
def _bar() -> Iterator[Watch]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        yield Lines()
        return

    class Bar:
        def __init__(self) -> None:
            self._snapshot: Snapshot | None = None

        def report(self, snapshot: Snapshot) -> None:
            self._snapshot = snapshot

        def say(self, message: str) -> None:
            # Not as markup: messages quote names and SQL.
            console.print(message, markup=False, highlight=False)

        def shown(self) -> RenderableType:
            """Asked anew for each frame, for the width that the terminal has then."""
            snapshot = self._snapshot
            if snapshot is None:
                return Text("")
            width = console.width - 1
            head = fitting([f"{snapshot.name} {snapshot.state}"], max(width // 2, 16))
            share = "  ".join(_share(snapshot))
            lines: list[RenderableType] = []
            if width < NARROW:
                lines.append(Text(fitting([*_share(snapshot), head], width), no_wrap=True))
            else:
                bar = ProgressBar(
                    total=1.0,
                    completed=snapshot.fraction or 0.0,
                    width=min(WIDEST, width - len(head) - len(share) - 4),
                    pulse=snapshot.fraction is None,
                )
                row = Table.grid(padding=(0, 2, 0, 0))
                row.add_row(Text(head, no_wrap=True), bar, Text(share, no_wrap=True))
                lines.append(row)
            lines.append(Text(fitting(_numbers(snapshot), width), no_wrap=True))
            lines += [Text(fitting([wait], width), no_wrap=True) for wait in _waits(snapshot)]
            return Group(*lines)

    bar = Bar()
    with Live(get_renderable=bar.shown, console=console, refresh_per_second=4):
        yield bar
