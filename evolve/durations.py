"""Shares and lengths of time, as people read them."""

from __future__ import annotations


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


def span(least: float, most: float) -> str:
    """Two durations, no more exact than they are apart: "2 to 3 min", "50 s to 2 min"."""
    low, high = _rounded(least), _rounded(most)
    if low == high:
        return f"about {high[0]} {high[1]}"
    return (
        f"{low[0]} to {high[0]} {high[1]}"
        if low[1] == high[1]
        else f"{low[0]} {low[1]} to {high[0]} {high[1]}"
    )


def _rounded(seconds: float) -> tuple[str, str]:
    if seconds < 99.5:
        return f"{seconds:.0f}", "s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f}", "min"
    if seconds < 99.5 * 3600:
        return f"{seconds / 3600:.1f}".removesuffix(".0"), "h"
    return f"{seconds / 86400:.1f}".removesuffix(".0"), "days"
