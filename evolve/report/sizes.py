"""Sizes, write rates and seconds for people, and what the facts of a live database did to a report."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import FactsUsed, Finding, Report, Weight

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_NAMED = 5  # unknown tables that are told by name


def weight_text(finding: Finding, weight: Weight) -> str:
    """Such as "48,200,000 rows, 12 GB; about 70 s; 4,200 writes/s"."""
    rows = "rows unknown" if weight.rows is None else f"{weight.rows:,} row{'' if weight.rows == 1 else 's'}"
    parts = [f"{rows}, {bytes_text(weight.bytes)}"]
    if weight.seconds is not None:
        parts.append(f"about {seconds_text(weight.seconds)}")
    if weight.writes_per_second is not None:
        parts.append(f"{weight.writes_per_second:,.0f} writes/s")
    if finding.quieted:
        parts.append(f"{weight.before} on a larger table")
    return "; ".join(parts)


def facts_lines(report: Report, facts: FactsUsed) -> Iterator[str]:
    """What a reader must know of the facts that the report is weighed by."""
    day = f"facts of {facts.taken}"
    told = []
    if report.quieted:
        told.append(f"{_findings(report.quieted)} on small tables quieted")
    if report.raised:
        told.append(f"{_findings(report.raised)} on hot or large tables raised")
    yield f"{', '.join(told) or 'nothing quieted and nothing raised'} by {day}"
    if facts.stale:
        yield f"{day} are {facts.age} days old: export them anew, evolve facts export"
    if facts.unknown:
        named = ", ".join(name.plain for name in facts.unknown[:_NAMED])
        more = f" and {len(facts.unknown) - _NAMED} more" if len(facts.unknown) > _NAMED else ""
        yield f"{day} do not know {named}{more}: judged as if large"


def bytes_text(number: int) -> str:
    amount, units = float(number), list(_UNITS)
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        del units[0]
    return f"{amount:.1f} {units[0]}" if amount < 10 and number >= 1000 else f"{amount:,.0f} {units[0]}"


def seconds_text(seconds: float) -> str:
    if seconds < 1:
        return f"{max(seconds * 1000, 1):.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _findings(number: int) -> str:
    return f"{number} finding" if number == 1 else f"{number} findings"
