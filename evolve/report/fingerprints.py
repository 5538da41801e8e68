"""A name for each finding of a report by which another report's is known to be the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from evolve.lint.baseline import entry_of
from evolve.lint.model import Finding, Report, Suppressed


def fingerprints(report: Report, root: Path) -> Iterator[tuple[Finding, Suppressed | None, str]]:
    """All findings in the order of the revisions and lines, allowed ones with what allows them, and their names.

    A name is 64 hexadecimal digits; no two are the same. Other line numbers, another layout of the SQL, another name of
    a revision's file and whether it is allowed change none. Findings that a baseline cannot tell apart are numbered.
    """
    order = {revision: number for number, (revision, _) in enumerate(report.files)}
    found: list[tuple[Finding, Suppressed | None]] = [(finding, None) for finding in report.findings]
    found += [(item.finding, item) for item in report.suppressed]
    found.sort(key=lambda each: (order.get(each[0].revision, len(order)), each[0].place.line))
    met: Counter[tuple[str, ...]] = Counter()
    for finding, allowed in found:
        entry = entry_of(finding, root)
        known = (entry.revision, entry.rule, entry.statement, entry.direction)
        met[known] += 1
        yield finding, allowed, digest(*known, str(met[known]))


def digest(*words: str) -> str:
    return sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()
