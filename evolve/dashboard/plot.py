"""The rate of a run over the last minutes, as a line to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 120  # of the drawing, in its own units
EDGE = 3  # units above the highest point, for the breadth of the line
SECONDS = 600.0  # that are drawn at most
LEAST = 60.0  # and at least
STEP = 5.0  # seconds that one point of the line stands for

# (seconds of a clock, keys walked until then), oldest first.
Track = Sequence[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Plot:
    """
    Args:
        line, area: paths of SVG.
        top: the most keys per second.
        now: keys per second at the end of the line.
        seconds: that the line covers.
    """

    line: str
    area: str
    top: float
    now: float
    seconds: float


def plot(track: Track) -> Plot | None:
    """The line, its end at the right edge; None before there are two points."""
    rates = rates_of(track)
    if len(rates) < 2:
        return None
    end = rates[-1][0]
    top = max(rate for _, rate in rates) or 1.0
    across = WIDTH / max(end - rates[0][0], LEAST)
    points = [
        f"{WIDTH - (end - at) * across:.1f} {HEIGHT - rate / top * (HEIGHT - EDGE):.1f}" for at, rate in rates
    ]
    line = "M" + " L".join(points)
    first = points[0].split()[0]
    return Plot(line, f"{line} L{WIDTH} {HEIGHT} L{first} {HEIGHT} Z", top, rates[-1][1], end - rates[0][0])


def rates_of(track: Track) -> list[tuple[float, float]]:
    """(when, keys per second) for each step that lies within the last `SECONDS`; a count that fell is none."""
    if not track:
        return []
    found: list[tuple[float, float]] = []
    since = track[-1][0] - SECONDS
    begin, count = track[0]
    for at, scanned in track:
        if at - begin < STEP:
            continue
        if at >= since:
            found.append((at, max(scanned - count, 0) / (at - begin)))
        begin, count = at, scanned
    return found
