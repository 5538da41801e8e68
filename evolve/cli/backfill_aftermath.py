"""What a run that is done prints of the table it leaves: new statistics, dead rows, and what to do about them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from evolve.counted import counted

if TYPE_CHECKING:
    from evolve.backfill.aftermath import Aftermath


def aftermath_lines(after: Aftermath) -> list[str]:
    from evolve.backfill.aftermath import megabytes

    parts = ["analyzed"] if after.analyzed else []
    if after.bytes > after.bytes_before > 0:
        parts.append(f"the table grew from {megabytes(after.bytes_before)} to {megabytes(after.bytes)}")
    if after.dead:
        parts.append(counted(after.dead, "dead row version"))
    lines = ["; ".join(parts)] if parts else []
    for hint in after.hints:
        lines += [hint.why, f"  {hint.command}"]
    return lines


def aftermath_json(after: Aftermath) -> dict[str, object]:
    return {
        "analyzed": after.analyzed,
        "not_analyzed": after.not_analyzed,
        "live_rows": after.live,
        "dead_rows": after.dead,
        "bytes": after.bytes,
        "bytes_before": after.bytes_before,
        "hints": [asdict(hint) for hint in after.hints],
    }
