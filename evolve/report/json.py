"""A lint report for machines; its shape is published in `docs/reference/lint-report.schema.json`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypedDict

from evolve.lint.model import FactsUsed, Finding, Report, Severity, Suppressed, Weight
from evolve.lint.verdict import Compatibility, Verdict
from evolve.report import verification

SCHEMA = 1  # raised when a field goes away or changes its meaning, not when one is added


class LockEntry(TypedDict):
    mode: str
    relation: str
    blocks: str


class WeightEntry(TypedDict):
    rows: int | None
    bytes: int
    seconds: float | None
    writes_per_second: float | None
    severity_before: str | None


class FindingEntry(TypedDict):
    rule: str
    name: str
    severity: str
    file: str
    line: int
    revision: str
    message: str
    why: str
    sql: str | None
    lock: LockEntry | None
    rewrite: bool
    scan: bool
    fails: bool
    breaks_old_code: bool
    breaks_new_code: bool
    safe: list[str]
    fix: str | None
    direction: str
    weight: WeightEntry | None
    versions: list[int]


class VerdictEntry(TypedDict):
    revisions: list[str]
    level: str
    order: str
    breaks_old_code: bool
    breaks_new_code: bool
    why_old: list[str]
    why_new: list[str]
    plans: list[str]


class CompatibilityEntry(TypedDict):
    range: VerdictEntry | None
    revisions: list[VerdictEntry]
    window: VerdictEntry | None
    complete: bool
    old_models: str | None
    new_models: str | None


class SuppressedEntry(FindingEntry):
    reason: str
    allowed_by: str
    kind: str


def render(report: Report, *, root: Path | None = None) -> str:
    """The report as one JSON object; files below `root`, or the working directory, are relative to it."""
    base = root or Path.cwd()
    coverage = report.coverage
    document = {
        "schema": SCHEMA,
        "summary": {
            "errors": report.count(Severity.ERROR),
            "warnings": report.count(Severity.WARNING),
            "infos": report.count(Severity.INFO),
            "suppressed": len(report.suppressed),
            "breaks_old_code": report.breaks_old_code,
            "breaks_new_code": report.breaks_new_code,
        },
        "coverage": {
            "revisions": coverage.revisions,
            "statements": coverage.statements,
            "read": coverage.read,
            "data_dependent": coverage.data_dependent,
            "incomplete": coverage.incomplete,
            "unseen": coverage.unseen,
        },
        "compatibility": compatibility(report.compatibility) if report.compatibility else None,
        "facts": _facts(report, report.facts) if report.facts else None,
        "verification": verification.data(report.verification, lambda file: _file(file, base))
        if report.verification
        else None,
        "notes": list(report.notes),
        "findings": [_finding(finding, base) for finding in report.findings],
        "suppressed": [_suppressed(item, base) for item in report.suppressed],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def compatibility(judged: Compatibility) -> CompatibilityEntry:
    """The verdicts as they stand in the report."""
    window = judged.window
    return CompatibilityEntry(
        range=_verdict(judged.whole) if judged.whole else None,
        revisions=[_verdict(verdict) for verdict in judged.revisions],
        window=_verdict(window, transitive=True) if window else None,
        complete=judged.complete,
        old_models=judged.old_models,
        new_models=judged.new_models,
    )


def _verdict(verdict: Verdict, *, transitive: bool = False) -> VerdictEntry:
    return VerdictEntry(
        revisions=list(verdict.revisions),
        level=verdict.level.transitive if transitive else verdict.level.value,
        order=verdict.order.value,
        breaks_old_code=verdict.breaks_old_code,
        breaks_new_code=verdict.breaks_new_code,
        why_old=list(verdict.old),
        why_new=list(verdict.new),
        plans=list(verdict.plans),
    )


def _finding(finding: Finding, base: Path) -> FindingEntry:
    lock = finding.lock
    return FindingEntry(
        rule=finding.rule,
        name=finding.name,
        severity=str(finding.severity),
        file=_file(finding.place.file, base),
        line=finding.place.line,
        revision=finding.revision,
        message=finding.message,
        why=finding.why,
        sql=finding.sql,
        lock=LockEntry(mode=str(lock.mode), relation=lock.relation.plain, blocks=lock.mode.blocks)
        if lock
        else None,
        rewrite=finding.rewrite,
        scan=finding.scan,
        fails=finding.fails,
        breaks_old_code=finding.breaks_old_code,
        breaks_new_code=finding.breaks_new_code,
        safe=list(finding.safe),
        fix=finding.fix,
        direction=finding.direction,
        weight=_weight(finding.weight) if finding.weight else None,
        versions=list(finding.versions),
    )


def _weight(weight: Weight) -> WeightEntry:
    return WeightEntry(
        rows=weight.rows,
        bytes=weight.bytes,
        seconds=None if weight.seconds is None else round(weight.seconds, 3),
        writes_per_second=None if weight.writes_per_second is None else round(weight.writes_per_second, 1),
        severity_before=None if weight.before is None else str(weight.before),
    )


def _facts(report: Report, facts: FactsUsed) -> dict[str, object]:
    return {
        "taken": facts.taken.isoformat(),
        "age_days": facts.age,
        "stale": facts.stale,
        "server_version": facts.server_version,
        "unknown_tables": [name.plain for name in facts.unknown],
        "quieted": report.quieted,
        "raised": report.raised,
    }


def _suppressed(item: Suppressed, base: Path) -> SuppressedEntry:
    place = item.place
    allowed_by = "configuration"
    if place is not None:
        allowed_by = _file(place.file, base) + (f":{place.line}" if place.line else "")
    return SuppressedEntry(
        **_finding(item.finding, base), reason=item.reason, allowed_by=allowed_by, kind=item.by
    )


def _file(file: Path, base: Path) -> str:
    relative = os.path.relpath(file, base) if file.is_relative_to(base) else str(file)
    return Path(relative).as_posix()
