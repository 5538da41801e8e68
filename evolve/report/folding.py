"""Many findings of one rule in one file: a text report shows the first few and counts the rest."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise

from evolve.lint.model import Finding

SHOWN = 3
# A line that says "and 2 more" spares nobody much.
_FEWEST_FOLDED = 3


def blocks(
    findings: Sequence[Finding], show: Callable[[Finding], str], *, width: int, everything: bool
) -> list[str]:
    """What `show` makes of each finding; where a rule has many of one severity in one file, of the first few.

    Below the last of these stands how many more there are, and in which lines. Those of another severity or direction
    are folded apart, so that no error hides behind warnings.

    Args:
        everything: fold nothing.
    """
    groups: dict[Hashable, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(_alike(finding), []).append(finding)
    shown: list[str] = []
    counts = dict.fromkeys(groups, 0)
    for finding in findings:
        alike = _alike(finding)
        group = groups[alike]
        counts[alike] += 1
        folds = not everything and len(group) >= SHOWN + _FEWEST_FOLDED
        if not folds or counts[alike] <= SHOWN:
            shown.append(show(finding))
        if folds and counts[alike] == SHOWN:
            shown[-1] += f"\n{_rest(group[SHOWN:], width)}"
    return shown


def _alike(finding: Finding) -> Hashable:
    return finding.place.file, finding.revision, finding.rule, finding.severity, finding.direction


def _rest(findings: Sequence[Finding], width: int) -> str:
    lines = sorted({finding.place.line for finding in findings if finding.place.line})
    where = f", line{'s' * (len(lines) > 1)} {_runs(lines)}" if lines else ""
    text = f"and {len(findings)} more {findings[0].name} in this file{where}; -v shows them"
    return "\n".join(textwrap.wrap(text, width, initial_indent="  … ", subsequent_indent="    "))


def _runs(lines: Iterable[int]) -> str:
    """The numbers, those that follow one upon another as 12-17."""
    numbers = list(lines)
    starts = [numbers[0], *(after for before, after in pairwise(numbers) if after != before + 1)]
    ends = [*(before for before, after in pairwise(numbers) if after != before + 1), numbers[-1]]
    return ", ".join(
        str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True)
    )
