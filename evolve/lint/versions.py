"""Several versions of PostgreSQL as one: what is worst on any of them, and on which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evolve.lint.engine import Result
from evolve.lint.model import Finding


def worst(results: Mapping[int, Result], revisions: Sequence[str]) -> Result:
    """What holds on any version.

    Args:
        results: by the major version that they hold on.
        revisions: ids, in their order.
    """
    first, *others = results.values()
    if not others:
        return first
    return replace(
        first,
        findings=worst_findings({version: result.findings for version, result in results.items()}, revisions),
        needs=tuple(dict.fromkeys(need for result in results.values() for need in result.needs)),
        lasting=tuple(dict.fromkeys(need for result in results.values() for need in result.lasting)),
        in_use=frozenset().union(*(result.in_use for result in results.values())),
    )


def worst_findings(found: Mapping[int, Sequence[Finding]], revisions: Sequence[str]) -> tuple[Finding, ...]:
    """Each finding once, as severe as on the worst version, in the order of `revisions` and of lines; `versions` says
    which they are where it is not all.
    """
    if len(found) == 1:
        return tuple(next(iter(found.values())))
    by_version: dict[tuple[object, ...], dict[int, Finding]] = {}
    for version, findings in found.items():
        times: Counter[tuple[object, ...]] = Counter()
        for finding in findings:
            key = (finding.rule, finding.revision, finding.place, finding.direction, finding.sql)
            times[key] += 1
            by_version.setdefault((*key, times[key]), {})[version] = finding
    merged = [
        replace(max(on.values(), key=_weight), versions=() if len(on) == len(found) else tuple(sorted(on)))
        for on in by_version.values()
    ]
    order = {revision: place for place, revision in enumerate(revisions)}
    return tuple(sorted(merged, key=lambda each: (order[each.revision], each.place.line)))


def _weight(finding: Finding) -> tuple[int, ...]:
    return (
        finding.severity,
        finding.fails,
        finding.breaks_old_code,
        finding.breaks_new_code,
        finding.rewrite,
        finding.scan,
    )
