"""Lint reports made by hand, for tests of their formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from evolve.lint.demands import Demands
from evolve.lint.model import (
    Coverage,
    FactsUsed,
    Finding,
    LockHeld,
    Report,
    Severity,
    Suppressed,
    Weight,
)
from evolve.lint.rules import ALL
from evolve.lint.verdict import Compatibility, Verdict
from evolve.lint.verification import Difference, Verification
from evolve.report import gcc, github, gitlab, json, junit, markdown, sarif, text
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import CapturedStatement, Place

ROOT = Path("/srv/shop")
FILE = ROOT / "migrations" / "0002.py"
SQL = "ALTER TABLE orders DROP COLUMN email"

FOUND = Finding(
    rule="EV204",
    name="drop-column",
    severity=Severity.ERROR,
    place=Place(FILE, 12),
    revision="0002",
    message='"orders.email" goes away',
    why="code that runs still reads it",
    sql=SQL,
    lock=LockHeld(LockMode.ACCESS_EXCLUSIVE, QualifiedName("orders")),
    breaks_old_code=True,
    safe=('op.execute("SELECT 1")',),
    fix="evolve plan drop-column orders.email",
)
GAP = replace(
    FOUND, rule="EV901", name="revision-raised", message="upgrade() raised KeyError", sql=None, lock=None
)


def report(*findings: Finding, allowed: tuple[Suppressed, ...] = ()) -> Report:
    """Of one revision, 0002, which is a rollout that needs old code to be gone."""
    verdict = Verdict(("0002",), old=tuple(each.message for each in findings if each.breaks_old_code))
    return Report(
        findings,
        allowed,
        Coverage(revisions=1, statements=2, read=1),
        Compatibility(verdict, (verdict,), complete=False),
        files=(("0002", FILE),),
    )


def weighed(found: Report) -> Report:
    """The same, with facts of a live database."""
    weight = Weight(rows=48_200_000, bytes=12_000_000_000, seconds=70.0, writes_per_second=4_200.0)
    return replace(
        found,
        findings=tuple(replace(each, weight=weight) for each in found.findings),
        facts=FactsUsed(date(2026, 5, 1), age=31, stale=True, server_version=16),
    )


def verified(found: Report) -> Report:
    """The same, with a server that does not do what was foreseen."""
    difference = Difference(
        "0002",
        CapturedStatement(SQL, Place(FILE, 12), 0),
        "prediction",
        'it rewrites "orders"; not predicted',
    )
    return replace(
        found, verification=Verification(16, "embedded", (), (difference,), ("two revisions wait",))
    )


def _plain(found: Report) -> str:
    import click

    return click.unstyle(text.render(found, root=ROOT, verbose=True))


RENDER: Mapping[str, Callable[[Report], str]] = {
    "text": _plain,
    "json": lambda found: json.render(found, root=ROOT),
    "markdown": lambda found: markdown.render(found, root=ROOT),
    "github": lambda found: github.render(found, root=ROOT),
    "gitlab": lambda found: gitlab.render(found, root=ROOT),
    "sarif": lambda found: sarif.render(found, root=ROOT, rules=ALL),
    "junit": lambda found: junit.render(found, root=ROOT, demands=Demands()),
    "gcc": lambda found: gcc.render(found, root=ROOT),
}
