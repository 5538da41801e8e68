"""Judges `downgrade()`: each alone, from the schema that its revision leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from evolve.lint.databases import apart
from evolve.lint.engine import check
from evolve.lint.facts import Facts
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.thresholds import Thresholds
from evolve.sql.differences import differences
from evolve.sql.read import replay
from evolve.sql.schema import Schema
from evolve.sql.steps import Recording


def check_downgrades(
    recordings: Sequence[Recording],
    downgrades: Mapping[str, Recording],
    rules: Sequence[Rule],
    *,
    schema: Schema,
    postgres_version: int,
    facts: Facts | None = None,
    thresholds: Thresholds | None = None,
) -> tuple[Finding, ...]:
    """What the rules find in `downgrades`, with every table in use; `direction` says that it is about those.

    Which release a downgrade breaks depends on which one runs by then, so that no finding says it, and none is an
    error for it.

    Args:
        recordings: of the upgrades, in the order in which they are applied.
        downgrades: what the revisions of that id send on the way back.
        schema: before the first of `recordings`; it is changed.
    """
    if not downgrades:
        return ()
    several = apart(recordings, downgrades)
    if several:
        told = [
            check_downgrades(
                upgrades,
                back,
                rules,
                schema=schema.copy(),
                postgres_version=postgres_version,
                facts=facts,
                thresholds=thresholds,
            )
            for upgrades, back in several
        ]
        return tuple(dict.fromkeys(chain.from_iterable(told)))
    findings: list[Finding] = []
    for recording in recordings:
        before = schema.copy()
        replay(schema, (statement.sql for statement in recording.statements))
        downgrade = downgrades.get(recording.revision)
        if downgrade is not None:
            behind = schema.copy()
            result = check(
                [downgrade],
                rules,
                schema=behind,
                postgres_version=postgres_version,
                together=False,
                facts=facts,
                thresholds=thresholds,
            )
            findings += map(_of_downgrade, result.findings)
            if downgrade.statements and not downgrade.remarks:
                # A column that comes back stands at the end, and nothing can put it elsewhere.
                left = differences(before, behind, ordered=False)
                found = (finding for rule in rules for finding in rule.check_way_back(downgrade, left))
                findings += map(_of_downgrade, found)
    return tuple(findings)


def _of_downgrade(finding: Finding) -> Finding:
    message = finding.message
    if "downgrade()" not in message:
        told = message.replace("upgrade()", "downgrade()")
        message = told if told != message else f"downgrade(): {message}"
    stops = finding.fails or finding.scan or finding.rewrite
    breaks = finding.breaks_old_code or finding.breaks_new_code
    return replace(
        finding,
        message=message,
        severity=min(finding.severity, Severity.WARNING) if breaks and not stops else finding.severity,
        direction="downgrade",
        breaks_old_code=False,
        breaks_new_code=False,
        fix=None,
    )
